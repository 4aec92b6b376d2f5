//! Tests of what plugins rely on.

mod config;
mod edit;
mod manifest;
mod rounds;
