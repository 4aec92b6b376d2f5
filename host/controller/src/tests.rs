mod metrics;
mod queue;
