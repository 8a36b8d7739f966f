//! stub
use crate::error::Result;
use crate::owner::Owner;
use ipnetwork::IpNetwork;
pub(crate) fn show_masquerade(_a: IpNetwork) -> String {
    String::new()
}
pub(crate) fn masquerade(_o: &Owner, _a: &[IpNetwork]) -> Result<()> {
    Ok(())
}
pub(crate) fn missing(_o: &Owner, _a: &[IpNetwork]) -> Result<Vec<String>> {
    Ok(vec![])
}
pub(crate) fn unmasquerade(_o: &Owner, _a: &[IpNetwork]) -> Result<()> {
    Ok(())
}
