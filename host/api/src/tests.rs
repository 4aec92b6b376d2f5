mod crds;
mod decoding;
mod defaulting;
mod durations;
mod structural;
mod wire;
