package intake

import "time"

// control decides how much may wait. By Little's law, so much waits as is taken up in the time
// that each one waits; so what is taken up in the target time is the limit that makes the wait
// the target, whatever the rate is.
type control struct {
	target time.Duration
	limit  int // 0 means none: nothing is taken up

	rate float64       // taken up in a second, smoothed
	wait time.Duration // of the last that were taken up, on average

	moved int       // the intervals in which something was taken up
	last  time.Time // when it was last adjusted
	idle  time.Time // since when nothing was taken up; zero when something was, in the last interval
	count int       // taken up since last
	sum   time.Duration
}

func (c *control) settled(wait time.Duration) {
	c.count++
	c.sum += wait
}

// adjust sets the limit by what happened since the last call. Age is how old the middle one of
// those is that wait, held whether somebody was held at the gate. More reports that the limit was
// raised or removed.
func (c *control) adjust(now time.Time, waiting int, age time.Duration, held bool) (more bool) {
	elapsed, count, sum := now.Sub(c.last), c.count, c.sum
	before := c.limit
	c.last, c.count, c.sum = now, 0, 0
	if count == 0 {
		if c.idle.IsZero() {
			c.idle = now.Add(-elapsed)
		}
		switch {
		case waiting == 0:
			c.limit = max(c.limit, minLimit)
		case now.Sub(c.idle) >= outage:
			c.limit = 0
		}
		return before > 0 && c.limit == 0
	}
	c.idle = time.Time{}
	c.moved++
	c.wait = sum / time.Duration(count)
	rate := float64(count) / elapsed.Seconds()
	if c.rate == 0 {
		c.rate = rate
	}
	c.rate += 0.3 * (rate - c.rate)
	late := max(c.wait, age, time.Duration(float64(waiting)/c.rate*float64(time.Second)))
	switch {
	case late > c.target || c.limit == 0:
		c.limit = max(minLimit, int(c.rate*c.target.Seconds()))
	case held && late < c.target/2:
		c.limit *= 2
	}
	return before > 0 && c.limit > before
}

// drains returns how long it takes until so many are taken up.
func (c *control) drains(n int) time.Duration {
	if c.rate <= 0 {
		return time.Second
	}
	return time.Duration(float64(n-c.limit) / c.rate * float64(time.Second))
}
