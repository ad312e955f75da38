;; Counts of the 8-mers of a genome in FASTA form, as lines "ACGTACGT 12" in alphabetical order. Task i of n counts those of the
;; i-th of n parts of the alphabet's order, so that the results of all tasks, one after the other, are those of a single run.
;; Letters beside A, C, G and T, and headers, interrupt a k-mer; the ends of lines do not.
(module
  ;; 0: a count of 4 bytes for each of 4^8 k-mers; 0x40000: the result; 0x140000: the input.
  (memory (export "memory") 21)

  ;; Where the input goes: memory grows to hold it.
  (func (export "input") (param $bytes i32) (result i32)
    (local $pages i32)
    (local.set $pages
      (i32.shr_u (i32.add (i32.add (i32.const 0x140000) (local.get $bytes)) (i32.const 0xffff)) (i32.const 16)))
    (if (i32.gt_u (local.get $pages) (memory.size))
      (then
        (if (i32.eq (memory.grow (i32.sub (local.get $pages) (memory.size))) (i32.const -1))
          (then (unreachable)))))
    (i32.const 0x140000))

  ;; 0 to 3 for a base, 4 for what is none. Lower case is as good.
  (func $base (param $letter i32) (result i32)
    (local.set $letter (i32.and (local.get $letter) (i32.const 0xdf)))
    (if (i32.eq (local.get $letter) (i32.const 65)) (then (return (i32.const 0))))
    (if (i32.eq (local.get $letter) (i32.const 67)) (then (return (i32.const 1))))
    (if (i32.eq (local.get $letter) (i32.const 71)) (then (return (i32.const 2))))
    (if (i32.eq (local.get $letter) (i32.const 84)) (then (return (i32.const 3))))
    (i32.const 4))

  (func $letter (param $base i32) (result i32)
    (i32.and (i32.shr_u (i32.const 0x54474341) (i32.shl (local.get $base) (i32.const 3))) (i32.const 0xff)))

  ;; Writes a number in decimal digits; gives the place after it.
  (func $decimal (param $at i32) (param $number i32) (result i32)
    (local $power i32)
    (local.set $power (i32.const 1))
    (loop $more
      (if (i32.ge_u (i32.div_u (local.get $number) (local.get $power)) (i32.const 10))
        (then
          (local.set $power (i32.mul (local.get $power) (i32.const 10)))
          (br $more))))
    (loop $digits
      (i32.store8 (local.get $at)
        (i32.add (i32.const 48) (i32.rem_u (i32.div_u (local.get $number) (local.get $power)) (i32.const 10))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (local.set $power (i32.div_u (local.get $power) (i32.const 10)))
      (br_if $digits (local.get $power)))
    (local.get $at))

  (func (export "run") (param $at i32) (param $bytes i32) (param $task i32) (param $tasks i32) (result i64)
    (local $end i32) (local $from i32) (local $to i32) (local $byte i32) (local $base i32)
    (local $code i32) (local $bases i32) (local $header i32) (local $place i32) (local $shift i32)
    (local.set $end (i32.add (local.get $at) (local.get $bytes)))
    (local.set $from (i32.div_u (i32.mul (local.get $task) (i32.const 65536)) (local.get $tasks)))
    (local.set $to
      (i32.div_u (i32.mul (i32.add (local.get $task) (i32.const 1)) (i32.const 65536)) (local.get $tasks)))
    (block $read
      (loop $next
        (br_if $read (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $byte (i32.load8_u (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (if (i32.or (i32.eq (local.get $byte) (i32.const 10)) (i32.eq (local.get $byte) (i32.const 13)))
          (then
            (local.set $header (i32.const 0))
            (br $next)))
        (if (i32.eq (local.get $byte) (i32.const 62))
          (then
            (local.set $header (i32.const 1))
            (local.set $bases (i32.const 0))))
        (br_if $next (local.get $header))
        (local.set $base (call $base (local.get $byte)))
        (if (i32.eq (local.get $base) (i32.const 4))
          (then
            (local.set $bases (i32.const 0))
            (br $next)))
        (local.set $code
          (i32.and (i32.or (i32.shl (local.get $code) (i32.const 2)) (local.get $base)) (i32.const 0xffff)))
        (local.set $bases (i32.add (local.get $bases) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $bases) (i32.const 8)))
        (br_if $next (i32.lt_u (local.get $code) (local.get $from)))
        (br_if $next (i32.ge_u (local.get $code) (local.get $to)))
        (local.set $place (i32.shl (local.get $code) (i32.const 2)))
        (i32.store (local.get $place) (i32.add (i32.load (local.get $place)) (i32.const 1)))
        (br $next)))
    (local.set $at (i32.const 0x40000))
    (local.set $code (local.get $from))
    (block $written
      (loop $next
        (br_if $written (i32.ge_u (local.get $code) (local.get $to)))
        (local.set $byte (i32.load (i32.shl (local.get $code) (i32.const 2))))
        (if (local.get $byte)
          (then
            (local.set $shift (i32.const 16))
            (loop $letters
              (local.set $shift (i32.sub (local.get $shift) (i32.const 2)))
              (i32.store8 (local.get $at)
                (call $letter (i32.and (i32.shr_u (local.get $code) (local.get $shift)) (i32.const 3))))
              (local.set $at (i32.add (local.get $at) (i32.const 1)))
              (br_if $letters (local.get $shift)))
            (i32.store8 (local.get $at) (i32.const 32))
            (local.set $at (call $decimal (i32.add (local.get $at) (i32.const 1)) (local.get $byte)))
            (i32.store8 (local.get $at) (i32.const 10))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))))
        (local.set $code (i32.add (local.get $code) (i32.const 1)))
        (br $next)))
    (i64.or
      (i64.shl (i64.const 0x40000) (i64.const 32))
      (i64.extend_i32_u (i32.sub (local.get $at) (i32.const 0x40000))))))
