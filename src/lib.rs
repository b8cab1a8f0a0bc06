//! triggerd wakes ChatGPT Workspace Agents on schedule.
