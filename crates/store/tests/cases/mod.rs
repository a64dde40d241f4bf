mod adversary;
mod anchors;
mod backends;
mod crashes;
mod faults;
mod faulty;
mod nonces;
mod recovery;
