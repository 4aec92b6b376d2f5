mod loading;
mod metrics;
mod queue;
