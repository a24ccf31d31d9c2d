/* SPDX-License-Identifier: MIT */
/* As consumer.c, by way of operator new; and every public header must be C++. */
#include "headers.h"

#include <cstdio>
#include <list>
#include <string>

int main()
{
    std::list<std::string> list;
    for (int i = 0; i < 2500; i++)
        list.push_back(std::string(100, 'x'));
    std::puts(list.size() == 2500 ? "done" : "wrong");
    return 0;
}
