//! Beside the application: attests to the server and hands secrets over.
