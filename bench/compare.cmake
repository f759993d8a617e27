# What the end-to-end comparison (bench/compare) needs beside the sink and veredus.
add_executable(bare bare.cc bare_client.cc bare_message.cc bare_signature.cc bare_tls.cc)
target_link_libraries(bare PRIVATE veredus_flags PkgConfig::URING OpenSSL::SSL)
add_executable(bare_lookups bare_lookups.cc)
target_link_libraries(bare_lookups PRIVATE veredus_flags PkgConfig::CARES)
