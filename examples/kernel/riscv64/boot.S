/* SPDX-License-Identifier: MIT */
/*
 * RISC-V 64, from the reset to C, in machine mode and without firmware (-bios none). Every hart
 * comes to begin at once, with its number in a0 and the device tree in a1.
 */
#define STACK 0x8000

    .section .text.boot, "ax"
    .global begin
begin:
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    li t0, CPUS
    bgeu a0, t0, 1f             /* one too many */
    la t0, trap
    csrw mtvec, t0
    csrw mie, zero
    la sp, stacks
    addi t0, a0, 1
    li t1, STACK
    mul t0, t0, t1
    add sp, sp, t0
    call machine_begin          /* (hart, device tree) */
1:  wfi
    j 1b

    /* Exceptions print and end. The timer's interrupt: the registers that C may change, and back. */
    .balign 4
trap:
    addi sp, sp, -128
    .set place, 0
    .irp register, ra, t0, t1, t2, t3, t4, t5, t6, a0, a1, a2, a3, a4, a5, a6, a7
    sd \register, place(sp)
    .set place, place + 8
    .endr
    csrr a0, mcause
    csrr a1, mepc
    csrr a2, mtval
    call machine_trap           /* (cause, at, value) */
    .set place, 0
    .irp register, ra, t0, t1, t2, t3, t4, t5, t6, a0, a1, a2, a3, a4, a5, a6, a7
    ld \register, place(sp)
    .set place, place + 8
    .endr
    addi sp, sp, 128
    mret

    .section .bss
    .balign 16
stacks:
    .skip CPUS * STACK

    .section .note.GNU-stack, "", @progbits
