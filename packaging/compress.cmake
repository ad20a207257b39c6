# Run by cpack before it packs: Debian wants pages and changelogs compressed.
find_program(gzip gzip REQUIRED)
set(usr ${CPACK_TEMPORARY_DIRECTORY}/usr)
configure_file(${CMAKE_CURRENT_LIST_DIR}/changelog
	${usr}/share/doc/echod/changelog COPYONLY)
file(GLOB_RECURSE pages ${usr}/share/man/*.[1-8])
execute_process(
	COMMAND ${gzip} -9n ${pages} ${usr}/share/doc/echod/changelog
	COMMAND_ERROR_IS_FATAL ANY)
