//! Notifications: a real receiver gets what happened, once, whatever happens to the daemons.

mod delivery;
mod events;
mod forms;
mod inbox;
mod mail;
