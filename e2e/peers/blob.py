"""azure-storage-blob: containers, blobs, conditions, leases, listing; by access key and by token."""

import os

from azure.core import MatchConditions
from azure.mgmt.storage import StorageManagementClient
from azure.storage.blob import BlobBlock, BlobLeaseClient, BlobServiceClient

import local_cloud
from local_cloud import GROUP, LOCATION, SUBSCRIPTION, checked, credential, eventually, expect, grant, holds, owner, principal, refused, resource_group

OWNER = owner()
ACCOUNT = "peerblobs"


def account():
    resource_group(OWNER)
    client = StorageManagementClient(OWNER, SUBSCRIPTION)
    made = client.storage_accounts.begin_create(
        GROUP, ACCOUNT, {"location": LOCATION, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    ).result()
    return made, client.storage_accounts.list_keys(GROUP, ACCOUNT).keys[0].value


RESOURCE, KEY = account()
URL = f"https://{ACCOUNT}.blob.core.windows.net"


def containers(service, name):
    container = service.get_container_client(name)
    holds("exists, before", not container.exists())
    refused("get_container_properties of nothing", 404, "ContainerNotFound", container.get_container_properties)
    made = container.create_container(metadata={"who": "peer"})
    holds("create_container", bool(made["etag"]) and bool(made["last_modified"]))
    refused("create_container again", 409, "ContainerAlreadyExists", container.create_container)
    expect("get_container_properties", container.get_container_properties().metadata, {"who": "peer"})
    holds("list_containers", name in [c.name for c in service.list_containers(name_starts_with=name[:3])])
    holds("list_containers by page", len(list(service.list_containers(results_per_page=1).by_page())) >= 1)
    return container


def blobs(container):
    blob = container.get_blob_client("log/0000000000000001")
    holds("exists, before", not blob.exists())
    refused("download_blob of nothing", 404, "BlobNotFound", blob.download_blob)
    content = os.urandom(100_000)
    made = blob.upload_blob(content, overwrite=False, metadata={"n": "1"})
    holds("upload_blob", bool(made["etag"]))
    refused("upload_blob, create only, again", 409, "BlobAlreadyExists", lambda: blob.upload_blob(b"other"))
    refused("upload_blob, If-None-Match: *", 409, "BlobAlreadyExists", lambda: blob.upload_blob(b"other", overwrite=True, match_condition=MatchConditions.IfMissing))
    expect("download_blob", blob.download_blob().readall(), content)
    expect("download_blob, a range", blob.download_blob(offset=1000, length=50).readall(), content[1000:1050])
    expect("download_blob, to the end", blob.download_blob(offset=99_990).readall(), content[99_990:])
    refused("download_blob, beyond the end", 416, "InvalidRange", lambda: blob.download_blob(offset=200_000, length=5))
    properties = blob.get_blob_properties()
    expect("get_blob_properties", (properties.size, properties.metadata, properties.etag, properties.blob_type), (100_000, {"n": "1"}, made["etag"], "BlockBlob"))
    strange = container.get_blob_client("a b/ü+&%?#=/ö")
    strange.upload_blob(b"strange", overwrite=True)
    expect("a name with everything in it", strange.download_blob().readall(), b"strange")
    empty = container.get_blob_client("empty")
    empty.upload_blob(b"", overwrite=True)
    expect("an empty blob", empty.download_blob().readall(), b"")
    return blob


def conditions(container):
    blob = container.get_blob_client("current")
    first = blob.upload_blob(b"1", overwrite=True)["etag"]
    second = blob.upload_blob(b"2", overwrite=True, etag=first, match_condition=MatchConditions.IfNotModified)["etag"]
    holds("upload_blob, If-Match", first != second)
    refused("upload_blob, If-Match of the past", 412, "ConditionNotMet", lambda: blob.upload_blob(b"3", overwrite=True, etag=first, match_condition=MatchConditions.IfNotModified))
    expect("and it stays", blob.download_blob().readall(), b"2")
    refused("download_blob, If-Match of the past", 412, "ConditionNotMet", lambda: blob.download_blob(etag=first, match_condition=MatchConditions.IfNotModified))
    refused("download_blob, If-None-Match", 304, "ConditionNotMet", lambda: blob.download_blob(etag=second, match_condition=MatchConditions.IfModified))
    refused("delete_blob, If-Match of the past", 412, "ConditionNotMet", lambda: blob.delete_blob(etag=first, match_condition=MatchConditions.IfNotModified))
    blob.set_blob_metadata({"k": "v"}, etag=second, match_condition=MatchConditions.IfNotModified)
    expect("set_blob_metadata", blob.get_blob_properties().metadata, {"k": "v"})


def blocks(container):
    blob = container.get_blob_client("blocks")
    blob.stage_block("YQ==", b"first ")
    blob.stage_block("Yg==", b"second")
    blob.commit_block_list([BlobBlock("YQ=="), BlobBlock("Yg==")])
    expect("stage_block, commit_block_list", blob.download_blob().readall(), b"first second")
    large = os.urandom(9 << 20)
    service = BlobServiceClient(URL, credential=KEY, max_single_put_size=1 << 20, max_block_size=2 << 20)
    big = service.get_blob_client(container.container_name, "large")
    big.upload_blob(large, overwrite=True)
    expect("upload_blob in blocks", big.download_blob(max_concurrency=2).readall(), large)


def listing(container):
    for number in range(12):
        container.upload_blob(f"list/{number % 3}/{number:02}", b"x", overwrite=True)
    names = [blob.name for blob in container.list_blobs(name_starts_with="list/")]
    expect("list_blobs", names, sorted(f"list/{number % 3}/{number:02}" for number in range(12)))
    pages = [[blob.name for blob in page] for page in container.list_blobs(name_starts_with="list/", results_per_page=5).by_page()]
    expect("list_blobs by page", ([len(page) for page in pages], sum(pages, [])), ([5, 5, 2], names))
    expect("walk_blobs", [entry.name for entry in container.walk_blobs(name_starts_with="list/")], ["list/0/", "list/1/", "list/2/"])
    names = [blob.name for blob in container.list_blobs()]
    holds("list_blobs, names with everything in them", "a b/ü+&%?#=/ö" in names, names)
    listed = next(iter(container.list_blobs(name_starts_with="log/", include=["metadata"])))
    expect("list_blobs with metadata", (listed.metadata, listed.size), ({"n": "1"}, 100_000))


def leases(container):
    blob = container.get_blob_client("lock")
    blob.upload_blob(b"", overwrite=True)
    lease = blob.acquire_lease(lease_duration=15)
    properties = blob.get_blob_properties().lease
    expect("acquire_lease", (properties.status, properties.state, properties.duration), ("locked", "leased", "fixed"))
    refused("acquire_lease again", 409, "LeaseAlreadyPresent", lambda: blob.acquire_lease(lease_duration=15))
    refused("upload_blob without the lease", 412, "LeaseIdMissing", lambda: blob.upload_blob(b"x", overwrite=True))
    other = "00000000-0000-0000-0000-000000000001"
    refused("upload_blob with another lease", 412, "LeaseIdMismatchWithBlobOperation", lambda: blob.upload_blob(b"x", overwrite=True, lease=other))
    blob.upload_blob(b"mine", overwrite=True, lease=lease)
    expect("upload_blob with the lease", blob.download_blob().readall(), b"mine")
    lease.renew()
    checked("renew")
    refused("renew of another lease", 409, "LeaseIdMismatchWithLeaseOperation", BlobLeaseClient(blob, other).renew)
    refused("delete_blob without the lease", 412, "LeaseIdMissing", blob.delete_blob)
    lease.change(other)
    expect("change", lease.id, other)
    lease.release()
    expect("release", blob.get_blob_properties().lease.state, "available")
    forever = blob.acquire_lease()
    expect("acquire_lease without end", blob.get_blob_properties().lease.duration, "infinite")
    BlobLeaseClient(blob).break_lease(lease_break_period=0)
    expect("break_lease", blob.get_blob_properties().lease.state, "broken")
    refused("renew of a broken lease", 409, "LeaseIsBrokenAndCannotBeRenewed", forever.renew)
    blob.delete_blob()
    checked("delete_blob after the lease")
    lease = container.acquire_lease(lease_duration=15)
    refused("delete_container without the lease", 412, "LeaseIdMissing", container.delete_container)
    lease.release()
    checked("a lease of a container")


def deletion(container, blob):
    blob.delete_blob()
    holds("delete_blob", not blob.exists())
    refused("delete_blob again", 404, "BlobNotFound", blob.delete_blob)
    container.delete_container()
    holds("delete_container", not container.exists())


def everything(service, name):
    container = containers(service, name)
    blob = blobs(container)
    conditions(container)
    blocks(container)
    listing(container)
    leases(container)
    deletion(container, blob)


def refusals():
    wrong = BlobServiceClient(URL, credential="d3Jvbmc=")
    refused("a wrong access key", 403, "AuthenticationFailed", lambda: list(wrong.list_containers()))
    anonymous = BlobServiceClient(URL)
    holds("no credential", status_of(lambda: list(anonymous.list_containers())) in (401, 403, 404, 409))
    who = principal("blobs-nobody")
    service = BlobServiceClient(URL, credential=credential(who))
    refused("without a role", 403, "AuthorizationPermissionMismatch", lambda: service.get_blob_client("kept", "a").download_blob())
    grant(OWNER, f"{RESOURCE.id}/blobServices/default/containers/kept", "blob reader", who["oid"])
    found = eventually("the reader reads", lambda: service.get_blob_client("kept", "a").download_blob().readall())
    expect("the reader reads", found, b"kept")
    refused("and writes nothing", 403, "AuthorizationPermissionMismatch", lambda: service.get_blob_client("kept", "b").upload_blob(b""))
    refused("and reads nothing else", 403, "AuthorizationPermissionMismatch", lambda: service.get_blob_client("other", "a").download_blob())


def status_of(do):
    from azure.core.exceptions import HttpResponseError

    try:
        do()
    except HttpResponseError as error:
        return error.status_code
    return None


by_key = BlobServiceClient(URL, credential=KEY)
everything(by_key, "by-key")
for kept in ["kept", "other"]:
    by_key.create_container(kept)
    by_key.get_blob_client(kept, "a").upload_blob(b"kept")
grant(OWNER, RESOURCE.id, "blob contributor", local_cloud.OWNER["oid"])
by_token = BlobServiceClient(URL, credential=OWNER)
eventually("the contributor", lambda: list(by_token.list_containers()))
everything(by_token, "by-token")
refusals()
