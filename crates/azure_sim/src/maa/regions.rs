//! Addresses of providers.

/// Host name of a provider: `NAME.REGION.attest.azure.net` with the region's abbreviation (`westeurope` → `weu`);
/// `None` for a location where the service is not offered.
pub fn provider_host(name: &str, location: &str) -> Option<String> {
    let location = location.to_ascii_lowercase().replace(' ', "");
    let region = REGIONS.iter().find(|(known, _)| *known == location).map(|(_, region)| region)?;
    Some(format!("{}.{region}.attest.azure.net", name.to_ascii_lowercase()))
}

/// Abbreviations of regions as they stand in provider addresses (azure.md A.1 for the first five; others of memory).
const REGIONS: &[(&str, &str)] = &[
    ("eastus", "eus"),
    ("eastus2", "eus2"),
    ("westus", "wus"),
    ("northeurope", "neu"),
    ("westeurope", "weu"),
    ("westus2", "wus2"),
    ("westus3", "wus3"),
    ("centralus", "cus"),
    ("northcentralus", "ncus"),
    ("southcentralus", "scus"),
    ("uksouth", "uks"),
    ("ukwest", "ukw"),
    ("germanywestcentral", "dewc"),
    ("francecentral", "frc"),
    ("switzerlandnorth", "swn"),
    ("swedencentral", "sec"),
    ("norwayeast", "noe"),
    ("italynorth", "itn"),
    ("japaneast", "jpe"),
    ("southeastasia", "sasia"),
    ("eastasia", "easia"),
    ("australiaeast", "eau"),
    ("canadacentral", "cac"),
    ("centralindia", "cin"),
    ("koreacentral", "krc"),
    ("brazilsouth", "brs"),
];
