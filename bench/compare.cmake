# What the end-to-end comparison (bench/compare) needs beside the sink and veredus.
add_executable(bare bare.cc bare_client.cc bare_message.cc)
target_link_libraries(bare PRIVATE veredus_flags PkgConfig::URING)
