//! The operators: one file each, in folders by family, and the pure kernels they stand on.

use proprio_core::Registration;

pub mod kernels;

include!(concat!(env!("OUT_DIR"), "/registry.rs"));

/// The operator of that name.
pub fn operator(name: &str) -> Option<&'static Registration> {
    REGISTRY.iter().find(|registration| registration.name == name)
}
