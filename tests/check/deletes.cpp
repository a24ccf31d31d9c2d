// SPDX-License-Identifier: MIT
// deletes CASE: new and delete, for freehold run --check.
#include <cstring>
#include <iostream>
#include <new>
#include <string>
#include <vector>

struct base {
    long one[4];
};
struct derived : base {
    long more[4];
};

struct keeper {
    std::vector<std::string> all;
    keeper() : all(100, std::string(100, 'x')) {}
};
static keeper at_the_end; // freed by a destructor that runs after main

namespace place
{
template <class T> T *make() // a name that is mangled
{
    return new T;
}
} // namespace place

int main(int argc, char **argv)
{
    std::string name = argc > 1 ? argv[1] : "";
    if (name == "size")
        delete static_cast<base *>(place::make<derived>());
    if (name == "aligned")
        operator delete(operator new(100), std::size_t(100), std::align_val_t(4096));
    if (name == "twice") {
        int *one = new int[10];
        delete[] one;
        delete[] one;
    }
    if (name == "lose")
        for (int i = 0; i < 2; i++)
            *place::make<long>() = 1;
    std::cout << at_the_end.all.size() << std::endl;
}
