//! Not yet served: no simulated device.
