import itertools
import math
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from threadpoolctl import threadpool_info

from vcfe_bench.stats.exchange import expanded
from vcfe_bench.stats.intervals import mean_interval, pairs_interval, rate_interval
from vcfe_bench.stats.set_distances import distance_interval, real_against_real
from vcfe_bench.stats.significance import groups_alike, holm, paired_difference


def named(videos) -> list[str]:
    return [str(video[0, 0]) for video in videos]


def mean_gap(a, b, sources=()) -> float:
    """A set distance simple enough to know what it must be."""
    return float(abs(np.concatenate(a).mean() - np.concatenate(b).mean()))


def videos(seed: int, n: int, shift: float = 0.0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).normal(shift, 1.0, size=(n, 1, 1)))


def test_the_interval_is_about_that_of_the_normal_theory():
    values = np.random.default_rng(0).normal(size=200)
    estimate = mean_interval(values)
    half = 1.96 * values.std() / np.sqrt(200)
    assert estimate.value == pytest.approx(values.mean())
    assert (estimate.low, estimate.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)
    assert (estimate.n, estimate.missing, estimate.clusters) == (200, 0, 200)


@pytest.mark.parametrize("goals", [1, 3])
def test_for_many_videos_the_computed_interval_is_the_drawn_one(goals, monkeypatch):
    values = np.random.default_rng(0).lognormal(size=6000 * goals)
    videos = np.repeat(np.arange(6000), goals)
    computed = mean_interval(values, videos)
    monkeypatch.setattr("vcfe_bench.stats.intervals.LARGE", 10_000)
    drawn = mean_interval(values, videos)
    width = drawn.high - drawn.low
    assert (computed.value, computed.n, computed.clusters) == (drawn.value, 6000 * goals, 6000)
    assert computed.low == pytest.approx(drawn.low, abs=0.02 * width)
    assert computed.high == pytest.approx(drawn.high, abs=0.02 * width)


def test_clusters_may_be_named_in_any_way():
    values = np.random.default_rng(0).normal(size=60)
    names = [f"video {number % 17}" for number in range(60)]
    numbers = np.array([number % 17 for number in range(60)])
    assert mean_interval(values.tolist(), names) == mean_interval(values, numbers)


def test_goals_of_one_video_count_as_one():
    values = np.repeat(np.random.default_rng(0).normal(size=30), 3)
    clusters = np.repeat(np.arange(30), 3).tolist()
    clustered, naive, thirty = mean_interval(values, clusters), mean_interval(values), mean_interval(values[::3])
    assert clustered.clusters == 30
    assert (clustered.low, clustered.high) == pytest.approx((thirty.low, thirty.high))
    assert clustered.high - clustered.low > 1.5 * (naive.high - naive.low)


def test_clusters_of_unequal_size_keep_the_mean_of_the_values():
    values = [0.0, 0.1, 0.2, 1.0, 0.4, 0.5, 0.9]
    estimate = mean_interval(values, ["a", "a", "a", "b", "c", "d", "e"])
    assert estimate.value == pytest.approx(np.mean(values))
    assert estimate.low < estimate.value < estimate.high


def test_unequal_sizes_are_studentised_as_equal_ones():
    values = np.random.default_rng(0).normal(size=12)
    equal = mean_interval(values)
    with patch("numpy.ptp", lambda array: 1):  # takes the general way
        general = mean_interval(values)
    assert (general.low, general.high) == pytest.approx((equal.low, equal.high))


def test_fewer_than_five_videos_have_a_mean_but_no_interval():
    for values, clusters in (([2.0], None), ([1.0, 3.0, 2.0, 2.0], None), ([1.0, 3.0] * 4, ["a", "b", "c", "d"] * 2)):
        estimate = mean_interval(values, clusters)
        assert estimate.value == 2.0
        assert math.isnan(estimate.low)
        assert math.isnan(estimate.high)
    assert math.isfinite(mean_interval([1.0, 3.0, 2.0, 2.0, 2.5]).low)


def test_an_interval_ends_at_the_bounds_of_the_metric():
    values = [0.2, 0.9, 0.99, 0.98, 0.97, 0.96]
    free, bounded = mean_interval(values), mean_interval(values, bounds=(0.0, 1.0))
    assert free.high > 1
    assert (bounded.low, bounded.high) == (max(free.low, 0.0), 1.0)


def test_where_draws_of_equal_values_are_common_the_interval_ends_at_a_value():
    """Without the one video that differs, which 36 % of the draws lack, nothing is known of the spread."""
    estimate = mean_interval([0.0] * 31 + [4.0])
    assert estimate.high == 4.0
    assert estimate.low <= 0.125


def test_missing_values_are_left_out_and_counted():
    estimate = mean_interval([1.0, math.nan, 3.0], ["a", "b", "c"])
    assert (estimate.value, estimate.n, estimate.missing, estimate.clusters) == (2.0, 2, 1, 2)


@pytest.mark.parametrize("values", [[], [math.nan]])
def test_without_values_there_is_no_estimate(values):
    estimate = mean_interval(values)
    assert math.isnan(estimate.value)
    assert (estimate.n, estimate.missing, estimate.clusters) == (0, len(values), 0)
    assert math.isnan(rate_interval(values).low)


def test_equal_values_have_an_interval_without_width():
    estimate = mean_interval([0.5] * 10)
    assert (estimate.low, estimate.value, estimate.high) == (0.5, 0.5, 0.5)


def test_clusters_have_to_match():
    with pytest.raises(ValueError, match="2 values, but 1 clusters"):
        mean_interval([1.0, 2.0], ["a"])


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(-100, 100), min_size=5, max_size=12))
def test_the_interval_is_finite_and_holds_the_mean(values):
    estimate = mean_interval(values)
    slack = 1e-9 * max(1.0, *map(abs, values))
    assert -math.inf < estimate.low <= estimate.value + slack
    assert estimate.value - slack <= estimate.high < math.inf


@pytest.mark.parametrize(("flipped", "low", "high"), [(1.0, 0.025 ** (1 / 16), 1.0), (0.0, 0.0, 1 - 0.025 ** (1 / 16))])
def test_all_or_none_does_not_mean_always_or_never(flipped, low, high):
    estimate = rate_interval([flipped] * 16)
    assert estimate.value == flipped
    assert (estimate.low, estimate.high) == pytest.approx((low, high))
    three_goals_each = rate_interval([flipped] * 48, [i // 3 for i in range(48)])
    assert (three_goals_each.low, three_goals_each.high) == (estimate.low, estimate.high)


def test_a_rate_has_the_exact_interval_with_videos_as_trials():
    expected = stats.binomtest(3, 4).proportion_ci(method="exact")
    for values, clusters in (([1.0, 0.0, 1.0, 1.0, math.nan], None), ([1, 1, 1, 0, 1, 0, 1, 1], list("aabbccdd"))):
        estimate = rate_interval(values, clusters)
        assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))


def test_a_rate_may_be_of_shares():
    halves = rate_interval([0.5, 1.0, 0.0, 0.5])
    assert (halves.low, halves.high) == pytest.approx(stats.binomtest(2, 4).proportion_ci(method="exact")[:])
    thirds, three, four = rate_interval([1 / 3] * 10), *(rate_interval([1.0] * k + [0.0] * (10 - k)) for k in (3, 4))
    assert three.low < thirds.low < four.low
    assert three.high < thirds.high < four.high
    for outside in (1.5, -0.5):
        with pytest.raises(ValueError, match="between 0 and 1"):
            rate_interval([outside])


def test_videos_with_unequal_numbers_of_goals_count_as_fewer():
    equal, unequal = rate_interval([1.0, 0.0] * 4, list("aabbccdd")), rate_interval([1.0, 0.0] * 4, list("aaaaabcd"))
    assert equal.value == unequal.value
    assert unequal.low < equal.low < equal.high < unequal.high


def test_a_distance_has_the_jackknife_interval_of_its_linear_case():
    originals, counterfactuals = videos(0, 20), videos(1, 20, shift=5.0)
    estimate = distance_interval(originals, counterfactuals, mean_gap, named(originals))
    gaps = np.concatenate(counterfactuals)[:, 0] - np.concatenate(originals)[:, 0]
    half = 2.0930 * gaps.std(ddof=1) / np.sqrt(20)  # the jackknife is exact for a mean; t quantile of 19 degrees
    assert estimate.value == pytest.approx(gaps.mean())
    assert (estimate.low, estimate.high) == pytest.approx((gaps.mean() - half, gaps.mean() + half), rel=1e-4)


@pytest.mark.parametrize(("count", "left"), [(20, {19}), (32, {30}), (64, {60}), (100, {95}), (41, {38, 39})])
def test_many_videos_are_left_out_in_groups_of_a_size(count, left):
    seen = []

    def distance(a, b, sources):
        seen.append(len(sources))
        return mean_gap(a, b)

    distance_interval(videos(0, count), videos(1, count), distance, named(videos(0, count)))
    assert seen[0] == count
    assert set(seen[1:]) == left
    assert sum(count - kept for kept in seen[1:]) == count, "each video is left out once"


def test_a_distance_leaves_out_all_goals_of_a_video():
    originals, counterfactuals = videos(0, 10), videos(1, 10, shift=5.0)
    once = distance_interval(originals, counterfactuals, mean_gap, named(originals))
    thrice = distance_interval(originals * 3, counterfactuals * 3, mean_gap, named(originals) * 3)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert (thrice.n, thrice.clusters) == (30, 10)


def test_a_distance_without_enough_videos_has_no_interval():
    estimate = distance_interval(videos(0, 2), videos(1, 2), mean_gap, named(videos(0, 2)))
    assert math.isfinite(estimate.value)
    assert math.isnan(estimate.low)
    with pytest.raises(ValueError, match="2 originals, but 3 counterfactuals of 2 sources"):
        distance_interval(videos(0, 2), videos(1, 3), mean_gap, named(videos(0, 2)))


def test_the_floor_is_between_disjoint_halves():
    seen = []

    def distance(a, b, sources):
        seen.append((len(a), len(b), len({float(x[0, 0]) for x in [*a, *b]})))
        return mean_gap(a, b)

    floor = real_against_real(videos(0, 41), named(videos(0, 41)), distance, splits=7)
    assert floor.shape == (7,)
    assert seen == [(20, 20, 40)] * 7


def test_the_floor_repeats_with_its_seed():
    pool = videos(0, 20)
    np.testing.assert_array_equal(
        real_against_real(pool, named(pool), mean_gap, seed=3), real_against_real(pool, named(pool), mean_gap, seed=3)
    )
    assert (
        real_against_real(pool, named(pool), mean_gap, seed=3)[0]
        != real_against_real(pool, named(pool), mean_gap, seed=4)[0]
    )


def test_the_floor_needs_two_and_two():
    with pytest.raises(ValueError, match="four originals"):
        real_against_real(videos(0, 3), list("abc"), mean_gap)


def test_a_paired_difference_is_the_mean_of_the_differences_with_their_interval():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 30)).tolist()
    estimate = paired_difference(first, second)
    expected = mean_interval(np.subtract(first, second).tolist())
    assert (estimate.value, estimate.low, estimate.high) == (expected.value, expected.low, expected.high)
    assert paired_difference(second, first).value == -estimate.value


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-20, 20), min_size=2, max_size=8))
def test_few_videos_are_tested_in_every_way_to_flip_their_signs(differences):
    sums = [np.dot(signs, differences) for signs in itertools.product((-1, 1), repeat=len(differences))]
    as_large = np.mean(np.abs(sums) >= abs(sum(differences)))
    assert paired_difference(differences, [0.0] * len(differences)).p == pytest.approx(as_large)


def test_many_videos_are_tested_about_as_by_the_t_test():
    rng = np.random.default_rng(0)
    first = rng.normal(0.35, 1, size=40)
    estimate = paired_difference(first, np.zeros(40))
    assert estimate.p == pytest.approx(stats.ttest_1samp(first, 0).pvalue, abs=0.01)
    assert estimate.p == paired_difference(first, np.zeros(40)).p, "the draws are seeded"


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.12])
def test_the_computed_p_of_many_videos_is_about_the_drawn_one(shift, monkeypatch):
    first, second = np.random.default_rng(4).normal(size=(2, 1000)) + np.array([[shift], [0.0]])
    drawn = paired_difference(first, second)
    monkeypatch.setattr("vcfe_bench.stats.significance.LARGE", 1000)
    assert paired_difference(first, second).p == pytest.approx(drawn.p, abs=0.015)


@pytest.mark.parametrize("gained", [23, 26, 29])
def test_the_expansion_is_close_to_the_binomial_distribution(gained):
    exact = stats.binom.sf(gained - 1, 40, 0.5)
    assert expanded(np.ones(40), gained) == pytest.approx(exact, abs=3e-5)
    assert expanded(np.full(40, 3.0), 3.0 * gained) == pytest.approx(exact, abs=3e-5)
    assert abs(stats.norm.sf((2 * gained - 1 - 40) / 40**0.5) - exact) > 5e-5, "the normal distribution is not"


def test_rates_are_tested_as_by_mcnemar():
    better, worse, equal = [1.0] * 9, [0.0] * 2, [1.0] * 20
    estimate = paired_difference([*better, *worse, *equal], [1 - x for x in [*better, *worse]] + equal)
    assert estimate.p == pytest.approx(stats.binomtest(9, 11).pvalue, abs=0.01)


def test_the_signs_of_all_goals_of_a_video_flip_together():
    once = paired_difference([1.0, 2.0, 3.0, 4.0], [0.0] * 4)
    thrice = paired_difference([1.0, 2.0, 3.0, 4.0] * 3, [0.0] * 12, list("abcd") * 3)
    assert once.p == thrice.p == 2 / 16
    assert (thrice.n, thrice.clusters) == (12, 4)


def test_without_difference_or_without_videos_nothing_is_significant():
    assert paired_difference([1.0, 2.0], [1.0, 2.0]).p == 1
    assert paired_difference([3.0, 4.0], [1.0, 1.0], ["a", "a"]).p == 1
    nothing = paired_difference([math.nan, 1.0], [1.0, math.nan])
    assert math.isnan(nothing.p)
    assert (nothing.n, nothing.missing) == (0, 2)
    with pytest.raises(ValueError, match="2 values against 1"):
        paired_difference([1.0, 2.0], [1.0])


def test_holm_of_a_worked_example():
    # 4 x 0.005; 3 x 0.01; 2 x 0.03; 1 x 0.04, raised to the one before
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.02, math.nan, 0.04]), [0.04, math.nan, 0.04])
    assert holm([0.7, 0.9]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.2))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values, level):
    rejected = []
    for step, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] * (len(p_values) - step) > level:
            break
        rejected.append(index)
    assert np.flatnonzero(holm(p_values) <= level).tolist() == sorted(rejected)


@settings(deadline=None)
@given(st.data())
def test_two_share_a_group_exactly_where_they_are_not_distinct(data):
    count = data.draw(st.integers(0, 6))
    pairs = list(itertools.combinations(range(count), 2))
    distinct = data.draw(st.sets(st.sampled_from(pairs))) if pairs else set()
    groups = groups_alike(count, distinct)
    for pair in pairs:
        assert any(set(pair) <= set(group) for group in groups) == (pair not in distinct)
    assert {member for group in groups for member in group} == set(range(count))
    assert not any(set(a) < set(b) for a, b in itertools.permutations(groups, 2)), "no group within another"


def test_not_significantly_different_is_not_transitive():
    assert groups_alike(3, [(0, 2)]) == [(0, 1), (1, 2)]


def mean_error(requested: np.ndarray, reached: np.ndarray) -> float:
    return float((reached - requested).mean())


def test_a_mean_over_pairs_has_the_interval_of_a_mean():
    rng = np.random.default_rng(0)
    requested, reached = rng.normal(size=(2, 60))
    estimate, mean = pairs_interval(requested, reached, mean_error), mean_interval(reached - requested)
    assert estimate.value == pytest.approx(mean.value)
    assert (estimate.low, estimate.high) == pytest.approx((mean.low, mean.high), abs=0.03)
    assert (estimate.n, estimate.missing, estimate.clusters) == (60, 0, 60)
    assert estimate == pairs_interval(requested, reached, mean_error)


def test_pairs_of_one_video_are_drawn_together():
    requested, reached = np.random.default_rng(0).normal(size=(2, 10))
    once = pairs_interval(requested, reached, mean_error)
    thrice = pairs_interval(np.tile(requested, 3), np.tile(reached, 3), mean_error, list(range(10)) * 3)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert (thrice.n, thrice.clusters) == (30, 10)


def test_pairs_that_are_not_finite_are_left_out_and_undefined_draws_do_not_count():
    estimate = pairs_interval([1.0, 2.0, math.nan, 4.0], [1.0, math.inf, 3.0, 8.0], mean_error)
    assert (estimate.value, estimate.n, estimate.missing) == (2.0, 2, 2)
    assert math.isnan(estimate.low)
    slope = pairs_interval(
        [1.0, 2.0, 3.0], [2.0, 4.0, 6.0], lambda x, y: np.ptp(y) / np.ptp(x) if np.ptp(x) else np.nan
    )
    assert (slope.low, slope.value, slope.high) == (2.0, 2.0, 2.0)
    assert pairs_interval([math.nan], [1.0], mean_error).n == 0


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_the_order_of_values_changes_no_bit(data):
    rows = data.draw(
        st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.sampled_from("abcde")), min_size=3, max_size=9)
    )
    order = data.draw(st.permutations(rows))
    statistics = (
        lambda first, second, names: mean_interval(first, names),
        paired_difference,
        lambda first, second, names: pairs_interval(first, second, mean_error, names),
    )
    with patch("vcfe_bench.stats.intervals.RESAMPLES", 49), patch("vcfe_bench.stats.significance.RESAMPLES", 49):
        for statistic in statistics:
            np.testing.assert_equal(statistic(*zip(*order, strict=True)), statistic(*zip(*rows, strict=True)))


def test_the_order_of_videos_and_of_shards_changes_no_bit_of_a_distance():
    rng = np.random.default_rng(0)
    sides = [list(rng.normal(size=(12, 3, 8)).astype(np.float32)) for _ in range(2)]
    names = [f"video {i // 2}" for i in range(12)]

    def distance_of(order) -> object:
        return distance_interval(*([part[i] for i in order] for part in sides), mean_gap, [names[i] for i in order])

    for order in (range(11, -1, -1), [*range(0, 12, 2), *range(1, 12, 2)], rng.permutation(12)):
        assert distance_of(order) == distance_of(range(12))


def test_an_interval_from_groups_is_as_wide_as_from_single_videos():
    originals, counterfactuals = videos(0, 100), videos(1, 100, shift=5.0)
    estimate = distance_interval(originals, counterfactuals, mean_gap, named(originals))
    gaps = np.concatenate(counterfactuals)[:, 0] - np.concatenate(originals)[:, 0]
    assert estimate.high - estimate.low == pytest.approx(2 * 2.02 * gaps.std() / 10, rel=0.3)
    assert estimate.clusters == 100


def test_an_interval_is_cut_off_at_the_smallest_distance():
    originals = videos(0, 5)
    noisy = [x + 0.1 * y for x, y in zip(originals, videos(1, 5), strict=True)]
    free = distance_interval(originals, noisy, mean_gap, named(originals))
    assert free.low < 0
    assert distance_interval(originals, noisy, mean_gap, named(originals), lowest=0.0).low == 0


def test_the_floor_does_not_depend_on_the_order_of_videos():
    pool = videos(0, 20)
    np.testing.assert_array_equal(
        real_against_real(pool[::-1], named(pool[::-1]), mean_gap), real_against_real(pool, named(pool), mean_gap)
    )


def test_every_distance_is_computed_with_one_blas_thread():
    """The last bits of a matrix product depend on the number of threads, which would follow the machine."""
    used = set()

    def distance(first, second, names) -> float:
        used.update(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return mean_gap(first, second, names)

    sides = [list(np.random.default_rng(side).normal(size=(6, 3, 8))) for side in range(2)]
    distance_interval(*sides, distance, [str(i) for i in range(6)])
    assert used == {1}
