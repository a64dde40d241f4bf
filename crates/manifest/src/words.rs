//! The values of a manifest that are one of a few words.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::read::Choice;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$word_doc])* $variant),+ }

        impl $name {
            /// The word as the manifest writes it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl Choice for $name {
            const CHOICES: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "enum": [$($word),+] })
            }
        }
    };
}

words!(
    /// Which cloud the deployment is in.
    Cloud {
        /// Azure.
        Public = "public",
        /// The local cloud, whose roots are publicly known and worthless.
        Local = "local",
    }
);
words!(
    /// Whose policies the attestation provider accepts.
    Trust {
        /// Only those that a signer of the manifest has signed.
        Isolated = "isolated",
        /// Those of whoever has the role in Entra.
        Entra = "entra",
    }
);
words!(
    /// What the attestation service must say about the utility VM.
    Compliance {
        /// A confidential container group.
        Uvm = "azure-compliant-uvm",
    }
);
words!(
    /// What happens when there is no revocation list of AMD that is in force.
    Crl {
        /// Evidence is refused.
        Require = "require",
        /// Evidence passes unless a list that there is revokes its authorities, and the audit record says so.
        IfPresent = "if-present",
    }
);
words!(
    /// The image of the utility VM.
    Feed {
        /// That of Azure's confidential container groups.
        ContainerPlat = "ContainerPlat-AMD-UVM",
    }
);
words!(
    /// The curve of the master key.
    Curve {
        /// NIST P-384.
        P384 = "P-384",
        /// NIST P-256.
        P256 = "P-256",
    }
);
words!(
    /// Where the server's TLS key comes from.
    TlsSource {
        /// The provisioner makes key and certificate.
        Provisioner = "provisioner",
        /// The server makes its key at birth.
        Server = "server",
        /// A file is brought.
        Pkcs12 = "pkcs12",
    }
);
words!(
    /// How the server shows who it is to the storage account.
    StorageAuth {
        /// By the account's access key, wrapped with the master key.
        AccessKey = "access-key",
        /// By its managed identity.
        ManagedIdentity = "managed-identity",
    }
);
words!(
    /// How an operator logs in.
    Login {
        /// By a token of an identity provider.
        Jwt = "jwt",
    }
);
words!(
    /// What an operator may do with secrets, or with the keys that guard all of them.
    Action {
        /// Write a value.
        Write = "write",
        /// See which secrets exist.
        List = "list",
        /// Delete a value.
        Delete = "delete",
        /// Read a value.
        Read = "read",
        /// Renew the store's keys; needs `paths = ["*"]`.
        Rotate = "rotate",
    }
);
words!(
    /// What a workload runs in.
    WorkloadKind {
        /// A confidential container group.
        Container = "container",
        /// A confidential virtual machine.
        Vm = "vm",
    }
);
words!(
    /// What a volume of a container is.
    VolumeKind {
        /// A share of a storage account.
        AzureFile = "azure-file",
        /// Files of the group's definition, which the host sees.
        Secret = "secret",
        /// A folder that lives as long as the group.
        EmptyDir = "empty-dir",
    }
);
