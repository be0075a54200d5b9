//! The HTTP service on a loopback port, with a tiny model and scripted agents.
#![allow(clippy::unwrap_used)]

mod adapters;
mod agent;
mod client;
mod completions;
mod drain;
mod edge;
mod leaving;
mod openapi;
mod routes;
mod text;
mod tiny;
mod unread;
mod values;
