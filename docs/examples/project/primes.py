"""What the tests of this sample project are about."""


def primes_below(limit):
    sieve = bytearray([1]) * max(limit, 2)
    sieve[0:2] = b"\0\0"
    for number in range(2, int(limit**0.5) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return [number for number in range(limit) if sieve[number]]
