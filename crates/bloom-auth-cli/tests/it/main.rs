//! The binary as scripts and people use it: real processes, against an emulator
//! in this one.

#[cfg(test)]
mod cache;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod emulator;
#[cfg(test)]
#[cfg(unix)]
mod exec;
#[cfg(test)]
mod exits;
#[cfg(test)]
mod help;
#[cfg(test)]
#[cfg(all(target_os = "linux", feature = "keyring"))]
mod keyring;
#[cfg(test)]
#[cfg(unix)]
mod pipes;
#[cfg(test)]
#[cfg(unix)]
mod processes;
#[cfg(test)]
mod request;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod settings;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod start;
#[cfg(test)]
mod status;
#[cfg(test)]
mod support;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod terminal;
#[cfg(test)]
mod token;
