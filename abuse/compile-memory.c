//: group compilers
//: tries macros that expand without an end
//: holds a compiler's memory is the runner's
//: status compile_error
//: optional yes
//: request {"memory": 134217728}

#define A(x) x x x x x x x x x x x x x x x x
#define B(x) A(A(A(A(x))))
#define C(x) B(B(B(x)))
int zeroes[] = {C(0, )};
int main(void)
{
    return 0;
}
