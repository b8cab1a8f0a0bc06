mod cron;
mod laws;
