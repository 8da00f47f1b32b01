//! The operations by name, and the role each takes: one table for every door.

use super::Role;

/// Declares the operations with their roles.
macro_rules! operations {
    ($($operation:ident $role:ident,)*) => {
        /// An operation of the Admin service, by its name in the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "admin.proto says what each does")]
        pub enum Operation {
            $($operation,)*
        }

        impl Operation {
            /// Every operation.
            pub const ALL: &'static [Self] = &[$(Self::$operation,)*];

            /// Its name in the contract.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$operation => stringify!($operation),)*
                }
            }

            /// The lowest role that may do it.
            #[must_use]
            pub fn role(self) -> Role {
                match self {
                    $(Self::$operation => Role::$role,)*
                }
            }
        }
    };
}

// Judging (`dry_run`) takes the role of a viewer, whatever the operation takes.
operations! {
    Apply Editor,
    Get Viewer,
    Delete Editor,
    History Viewer,
    Rollback Editor,
    Status Viewer,
    Watch Viewer,
    Catalogue Viewer,
    ListSessions Viewer,
    EndSessions Editor,
    Explain Viewer,
    CreateToken Admin,
    ListTokens Admin,
    RevokeToken Admin,
    SetSecret Admin,
    ListSecrets Viewer,
    DeleteSecret Admin,
    RotateKey Admin,
    ListAuthorities Viewer,
    RotateAuthority Admin,
    WithdrawAuthorities Admin,
    RevokeNode Admin,
    Audit Admin,
    VerifyAudit Admin,
}
