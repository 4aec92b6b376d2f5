mod conflicts;
mod failed_changes;
mod loading;
mod metrics;
mod queue;
mod stopping;
mod unsaid;
