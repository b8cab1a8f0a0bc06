mod cron;
mod laws;
mod sandbox;
