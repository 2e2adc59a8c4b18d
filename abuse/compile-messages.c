//: group compilers
//: tries a flood of a compiler's messages
//: holds they are cut at the bound
//: status compile_error
//: truncated yes
//: optional yes
//: request {"memory": 134217728}

#if __INCLUDE_LEVEL__ < 13
#include __FILE__
#include __FILE__
#else
#pragma message "a message of a compiler is output like any other, and there may be a great many of it"
#endif
#if __INCLUDE_LEVEL__ == 0
#error at last
#endif
