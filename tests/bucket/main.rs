//! Each cloud's `Bucket` against a store that speaks like it: the same functions for all.
//!
//! Which stores there are is said by the environment, as `tests/object/emulators.py run` does:
//! `TUS_TEST_S3`, `TUS_TEST_MINIO`, `TUS_TEST_AZURE` and `TUS_TEST_GCS` are URLs, and a variable
//! `TUS_TEST_S3_<OPTION>` is the option `<OPTION>` of object_store. A store that is not there is
//! skipped.

#![allow(clippy::unwrap_used)] // a failed expectation is a failed test, in helpers too

mod answers;
mod objects;
mod parts;
mod support;

/// Makes a test of each function for each store.
macro_rules! tests {
    ($($store:ident),* : $functions:tt) => {
        $(tests! { @store $store $functions })*
    };
    (@store $store:ident { $($module:ident :: { $($function:ident),* $(,)? };)* }) => {
        mod $store {
            $($(
                #[tokio::test]
                async fn $function() {
                    if let Some(place) = crate::support::Place::open(stringify!($store)) {
                        crate::$module::$function(&place).await;
                    }
                }
            )*)*
        }
    };
}

tests! {
    s3, minio, azure, gcs: {
        objects::{
            a_creation_happens_once,
            an_update_needs_the_last_version,
            a_version_does_not_come_back_with_the_same_bytes,
            attributes_come_back,
            chunks_become_one_object,
            a_beginning_is_read,
            ranges_are_read,
            an_object_of_no_bytes_is_one,
            what_is_not_there_is_not_found,
            a_listing_is_of_one_prefix,
            a_removal_may_be_repeated,
            a_copy_keeps_attributes,
            a_copy_does_not_replace,
            objects_are_joined,
            a_signed_url_is_read_by_anybody,
            odd_names_are_names,
            the_check_is_passed,
        };
        parts::{
            parts_with_gaps_become_an_object,
            nothing_is_seen_before_completion,
            a_completion_does_not_replace,
            a_completion_replaces,
            a_completion_may_be_repeated,
            a_part_that_is_not_there_is_missed,
            small_parts_are_refused_where_they_are,
            a_part_is_a_range_of_another_object,
            an_aborted_session_is_gone,
            an_abort_spares_other_sessions,
            parts_are_listed,
            sessions_are_listed,
            secured_parts_have_a_history,
        };
    }
}
