/* SPDX-License-Identifier: MIT */
/*
 * x86-64, from the loader to C. The first CPU comes to boot32 in 32-bit protected mode, by the PVH
 * entry that the ELF note names (QEMU -kernel, Xen), with the start information in %ebx. The
 * others come to ap_begin in real mode, by a start-up interrupt, in a copy at AP_BASE. Both go on
 * at enter_long, where a CPU gets its number and its stack.
 *
 * Memory is mapped one to one, the first 4 GiB in pages of 2 MiB.
 */
#define AP_BASE 0x8000
#define STACK   0x8000

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 8, 18              /* sizes of name and value; XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .quad boot32

    .section .text.boot, "ax"
    .code32
    .global boot32
boot32:
    cld
    movl %ebx, start_info
    lgdtl gdt_pointer
    ljmp $0x08, $1f
1:  movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss

    xorl %ecx, %ecx             /* 4 x 512 pages of 2 MiB: present, writable, large */
2:  movl %ecx, %eax
    shll $21, %eax
    orl $0x83, %eax
    movl %eax, directories(, %ecx, 8)
    incl %ecx
    cmpl $2048, %ecx
    jne 2b
    movl $directories + 0x0003, pointers
    movl $directories + 0x1003, pointers + 8
    movl $directories + 0x2003, pointers + 16
    movl $directories + 0x3003, pointers + 24
    movl $pointers + 3, page_map

enter_long:
    movl $page_map, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $0x20, %eax             /* physical address extension */
    movl %eax, %cr4
    movl $0xc0000080, %ecx      /* EFER: long mode */
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80000000, %eax       /* paging */
    movl %eax, %cr0
    ljmp $0x18, $1f

    .code64
1:  movl $1, %edi
    lock xaddl %edi, cpus_begun /* the number of this CPU */
    cmpl $CPUS, %edi
    jae 2f                      /* one too many */
    movl %edi, %eax
    incl %eax
    imull $STACK, %eax
    leaq stacks(%rax), %rsp
    xorl %ebp, %ebp
    call machine_begin          /* (number) */
2:  cli
    hlt
    jmp 2b

    /* Real mode, in a copy at AP_BASE. */
    .code16
    .global ap_begin, ap_end
ap_begin:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    lgdtl AP_BASE + (ap_gdt_pointer - ap_begin)
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $0x08, $ap_32
ap_gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
ap_end:

    .code32
ap_32:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    jmp enter_long

    /* The timer's interrupt: the registers that C may change, and back. */
    .code64
    .global timer_stub
timer_stub:
    .irp register, rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11
    pushq %\register
    .endr
    cld                         /* 9 words here and 5 of the processor: the stack is aligned */
    call machine_timer
    .irp register, r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax
    popq %\register
    .endr
    iretq

    /* Exceptions: machine_trap(vector, stack) prints and ends. */
    .balign 16
    .global trap_stubs
trap_stubs:
    .set vector, 0
    .rept 32
    .balign 16
    movl $vector, %edi
    jmp 3f
    .set vector, vector + 1
    .endr
3:  movq %rsp, %rsi
    andq $-16, %rsp
    call machine_trap

    .section .rodata
    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff    /* 0x08: 32-bit code */
    .quad 0x00cf93000000ffff    /* 0x10: data */
    .quad 0x00af9b000000ffff    /* 0x18: 64-bit code */
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt

    .section .bss
    .global start_info, cpus_begun
    .balign 4096
page_map:
    .skip 4096
pointers:
    .skip 4096
directories:
    .skip 4 * 4096
stacks:
    .skip CPUS * STACK
start_info:
    .skip 4
cpus_begun:
    .skip 4

    .section .note.GNU-stack, "", @progbits
