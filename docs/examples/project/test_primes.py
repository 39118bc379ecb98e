import unittest

from primes import primes_below


class PrimesBelow(unittest.TestCase):
    def test_the_first_ones(self):
        self.assertEqual(primes_below(12), [2, 3, 5, 7, 11])

    def test_the_limit_is_none_of_them(self):
        self.assertNotIn(13, primes_below(13))

    def test_there_are_none_below_two(self):
        self.assertEqual(primes_below(2), [])


if __name__ == "__main__":
    unittest.main()
