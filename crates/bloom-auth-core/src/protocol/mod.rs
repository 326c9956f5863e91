//! The client credentials grant on the wire, without I/O: values in, values
//! out, no clock and no runtime.

pub mod assertion;
mod echo;
pub mod error_response;
pub mod request;
pub mod response;
pub mod retry_after;
pub mod www_authenticate;

pub use assertion::{ClientAssertion, UnsignedAssertion};
pub use error_response::{OAuthError, OAuthErrorCode};
pub use request::TokenRequest;
pub use response::{ExpiresIn, ResponseError, TokenResponse};
