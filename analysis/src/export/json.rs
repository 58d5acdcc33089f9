//! The sheet itself, schema `krono.export/1`.

use super::{ExportError, Sheet};
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// Writes a sheet.
///
/// # Errors
/// The serialiser's.
pub fn write(sheet: &Sheet) -> Result<String, ExportError> {
    Ok(serde_json::to_string_pretty(sheet)? + "\n")
}

/// Its JSON schema.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<Sheet>().to_value()
}
