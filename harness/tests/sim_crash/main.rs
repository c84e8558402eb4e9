mod bytes;
mod laws;
mod measured;
mod names;
mod outcomes;
mod program;
