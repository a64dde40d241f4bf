//! Which operation a request asks for, and which permission it needs.
//!
//! Source: the operation pages of the Storage reference, and "Permissions for blob service operations" in "Authorize with Microsoft Entra ID".

use http::Method;

use super::error::{self, BlobError};
use crate::core::Request;

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Service,
    Container(String),
    Blob(String, String),
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    ListContainers,
    ServiceProperties,
    AccountInformation,
    Batch,
    CreateContainer,
    ContainerProperties,
    SetContainerMetadata,
    DeleteContainer,
    LeaseContainer,
    ListBlobs,
    PutBlob,
    CopyBlob,
    PutBlock,
    PutBlockList,
    BlockList,
    GetBlob,
    HeadBlob,
    DeleteBlob,
    LeaseBlob,
    SetBlobMetadata,
    SetBlobProperties,
    BlobTags,
    SetBlobTags,
}

/// An Azure action, and whether it is a data action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission {
    Action(&'static str),
    DataAction(&'static str),
}

impl Target {
    /// From the path; a blob's name may hold slashes.
    pub(super) fn parse(request: &Request) -> Result<Self, BlobError> {
        let mut segments = request.segments().into_iter();
        let container = segments.next().unwrap_or_default();
        let name = segments.collect::<Vec<_>>().join("/");
        if container.is_empty() {
            return if name.is_empty() { Ok(Self::Service) } else { Err(invalid_uri()) };
        }
        if !container_name(&container) {
            return Err(BlobError::new(
                400,
                "InvalidResourceName",
                "The specified resource name contains invalid characters.",
            ));
        }
        if name.is_empty() {
            return Ok(Self::Container(container));
        }
        if name.len() > 1024 || name.chars().any(char::is_control) {
            return Err(invalid_uri());
        }
        Ok(Self::Blob(container, name))
    }
}

impl Operation {
    pub(super) fn parse(request: &Request, target: &Target) -> Result<Self, BlobError> {
        let comp = request.query.value("comp");
        let kind = request.query.value("restype");
        let method = &request.method;
        let get = method == Method::GET;
        let read = get || method == Method::HEAD;
        let put = method == Method::PUT;
        let post = method == Method::POST;
        let delete = method == Method::DELETE;
        if request.query.value("snapshot").or(request.query.value("versionid")).is_some() {
            return Err(error::unsupported("snapshots and versions"));
        }
        let found = match (target, kind, comp) {
            (Target::Service, None, Some("list")) if get => Self::ListContainers,
            (Target::Service, Some("service"), Some("properties")) if get => {
                Self::ServiceProperties
            }
            (_, Some("account"), Some("properties")) if read => Self::AccountInformation,
            (Target::Service, None, Some("batch")) if post => Self::Batch,
            (Target::Container(_), Some("container"), Some("batch")) if post => Self::Batch,
            (Target::Container(_), Some("container"), None) if put => Self::CreateContainer,
            (Target::Container(_), Some("container"), None) if read => Self::ContainerProperties,
            (Target::Container(_), Some("container"), None) if delete => Self::DeleteContainer,
            (Target::Container(_), Some("container"), Some("metadata")) if read => {
                Self::ContainerProperties
            }
            (Target::Container(_), Some("container"), Some("metadata")) if put => {
                Self::SetContainerMetadata
            }
            (Target::Container(_), Some("container"), Some("lease")) if put => Self::LeaseContainer,
            (Target::Container(_), Some("container"), Some("list")) if get => Self::ListBlobs,
            (Target::Blob(..), None, None)
                if put && request.headers.contains_key("x-ms-copy-source") =>
            {
                Self::CopyBlob
            }
            (Target::Blob(..), None, None) if put => Self::PutBlob,
            (Target::Blob(..), None, None) if get => Self::GetBlob,
            (Target::Blob(..), None, None) if read => Self::HeadBlob,
            (Target::Blob(..), None, None) if delete => Self::DeleteBlob,
            (Target::Blob(..), None, Some("block")) if put => Self::PutBlock,
            (Target::Blob(..), None, Some("blocklist")) if put => Self::PutBlockList,
            (Target::Blob(..), None, Some("blocklist")) if get => Self::BlockList,
            (Target::Blob(..), None, Some("lease")) if put => Self::LeaseBlob,
            (Target::Blob(..), None, Some("metadata")) if read => Self::HeadBlob,
            (Target::Blob(..), None, Some("metadata")) if put => Self::SetBlobMetadata,
            (Target::Blob(..), None, Some("properties")) if put => Self::SetBlobProperties,
            (Target::Blob(..), None, Some("tags")) if get => Self::BlobTags,
            (Target::Blob(..), None, Some("tags")) if put => Self::SetBlobTags,
            (_, _, Some(comp)) => {
                return Err(error::unsupported(&format!("{method} with comp={comp}")));
            }
            (Target::Container(_), None, None) => {
                return Err(error::unsupported("the $root container"));
            }
            _ => {
                return Err(BlobError::new(
                    405,
                    "UnsupportedHttpVerb",
                    "The resource doesn't support the specified HTTP verb.",
                ));
            }
        };
        Ok(found)
    }

    /// What a caller with a token must be permitted; a caller with the account key may do all.
    pub(super) fn permission(self) -> Permission {
        use Permission::{Action, DataAction};
        match self {
            Self::ListContainers | Self::ContainerProperties => {
                Action("Microsoft.Storage/storageAccounts/blobServices/containers/read")
            }
            Self::ServiceProperties => {
                Action("Microsoft.Storage/storageAccounts/blobServices/read")
            }
            Self::AccountInformation => {
                Action("Microsoft.Storage/storageAccounts/blobServices/getInfo/action")
            }
            Self::CreateContainer | Self::SetContainerMetadata | Self::LeaseContainer => {
                Action("Microsoft.Storage/storageAccounts/blobServices/containers/write")
            }
            Self::DeleteContainer => {
                Action("Microsoft.Storage/storageAccounts/blobServices/containers/delete")
            }
            Self::ListBlobs | Self::GetBlob | Self::HeadBlob | Self::BlockList => {
                DataAction("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read")
            }
            Self::PutBlob
            | Self::CopyBlob
            | Self::PutBlock
            | Self::PutBlockList
            | Self::LeaseBlob
            | Self::SetBlobMetadata
            | Self::SetBlobProperties => {
                DataAction("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write")
            }
            Self::DeleteBlob | Self::Batch => {
                DataAction("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete")
            }
            Self::BlobTags => DataAction(
                "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/tags/read",
            ),
            Self::SetBlobTags => DataAction(
                "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/tags/write",
            ),
        }
    }

    /// The counter that the call goes to.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ListContainers => "blob.containers.list",
            Self::ServiceProperties => "blob.service.properties",
            Self::AccountInformation => "blob.account.information",
            Self::Batch => "blob.batch",
            Self::CreateContainer => "blob.containers.create",
            Self::ContainerProperties => "blob.containers.get",
            Self::SetContainerMetadata => "blob.containers.metadata",
            Self::DeleteContainer => "blob.containers.delete",
            Self::LeaseContainer => "blob.containers.lease",
            Self::ListBlobs => "blob.list",
            Self::PutBlob => "blob.put",
            Self::CopyBlob => "blob.copy",
            Self::PutBlock => "blob.block",
            Self::PutBlockList => "blob.blocklist",
            Self::BlockList => "blob.blocklist.get",
            Self::GetBlob => "blob.get",
            Self::HeadBlob => "blob.head",
            Self::DeleteBlob => "blob.delete",
            Self::LeaseBlob => "blob.lease",
            Self::SetBlobMetadata => "blob.metadata",
            Self::SetBlobProperties => "blob.properties",
            Self::BlobTags => "blob.tags.get",
            Self::SetBlobTags => "blob.tags",
        }
    }
}

/// "Naming containers": 3 to 63 of a-z, 0-9 and single dashes, beginning and ending with a letter or digit.
pub fn container_name(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

fn invalid_uri() -> BlobError {
    BlobError::new(
        400,
        "InvalidUri",
        "The requested URI does not represent any resource on the server.",
    )
}
