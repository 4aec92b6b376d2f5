//! What the plugin host promises, table by table and job by job. Guests are written as text; see `guest`.

mod address;
mod aws;
mod bounded;
mod gate;
mod grants;
mod guest;
mod hostile;
mod jobs;
mod loading;
mod passes;
mod requests;
mod world;
