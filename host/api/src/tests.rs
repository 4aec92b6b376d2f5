mod decoding;
mod defaulting;
mod durations;
mod wire;
