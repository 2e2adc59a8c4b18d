//: group compilers
//: tries a program of 16 GB out of two lines
//: holds what a compiler writes is the runner's disk
//: status compile_error
//: optional yes
//: request {"disk": 33554432}

char large[1UL << 34] = {1};

int main(void)
{
    return large[0];
}
