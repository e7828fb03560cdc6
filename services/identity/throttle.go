package identity

import (
	"context"
	"runtime"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"lonja/events"
	"lonja/kit/errs"
)

// The limits: how many at once (burst), and how many more each second (rate). A person who
// mistypes a password stays far below them.
const (
	pairBurst, pairRate       = 10, 0.1 // wrong passwords of one client at one account
	clientBurst, clientRate   = 100, 1  // wrong passwords of one client at all accounts
	accountBurst, accountRate = 50, 0.5 // wrong passwords of all untrusted clients at one account
	sessionBurst, sessionRate = 20, 0.2 // refreshes and logouts of one session
	refreshBurst, refreshRate = 200, 50 // refreshes and logouts of one client
)

// maxRemembered is how many entries of each kind are kept in memory: the most recently used.
const maxRemembered = 50_000

// throttle slows down password guessing, and keeps the queue for hashing short. It never
// locks an account. A client that gave an account's right password before is trusted there,
// and guesses of others do not count against it. At an account under attack, each untrusted
// client has one attempt, so its owner can log in from a new address, too.
//
// It belongs to one replica and is lost when that stops. With several replicas, an attacker
// has that many times more attempts.
type throttle struct {
	pairs     limiters[attempt]
	clients   limiters[string]
	accounts  limiters[events.UserID]
	sessions  limiters[events.SessionID]
	refreshes limiters[string]
	trusted   *lru.Cache[attempt, struct{}]
	queue     hashQueue
}

// attempt names an account and the client that tries a password for it. Clients are network
// addresses; "" is a client that cannot be told from others.
type attempt struct {
	account events.UserID
	client  string
}

// newThrottle returns a throttle in front of a hash queue. capacity returns how many
// passwords can be hashed within a time; it is called for each attempt.
func newThrottle(capacity func(time.Duration) int) *throttle {
	trusted, err := lru.New[attempt, struct{}](maxRemembered)
	if err != nil {
		panic(err) // only for a size below one
	}
	return &throttle{
		pairs:     newLimiters[attempt](pairBurst, pairRate),
		clients:   newLimiters[string](clientBurst, clientRate),
		accounts:  newLimiters[events.UserID](accountBurst, accountRate),
		sessions:  newLimiters[events.SessionID](sessionBurst, sessionRate),
		refreshes: newLimiters[string](refreshBurst, refreshRate),
		trusted:   trusted,
		queue: hashQueue{slots: make(chan struct{}, runtime.NumCPU()), byClient: map[string]int{},
			size: func() int { return min(maxWaiting*runtime.NumCPU(), capacity(maxHashWait)) }},
	}
}

// admit returns once a password may be hashed for an attempt; leave must be called when that
// is done. It is RateLimited at once when the attempt is over a limit or the queue is full,
// and ctx's error when that ends first.
func (t *throttle) admit(ctx context.Context, a attempt) (leave func(), err error) {
	pair := t.pairs.of(a)
	if err := pair.check(1); err != nil {
		return nil, err
	}
	if t.trusted.Contains(a) {
		return t.queue.enter(ctx, a.client, trusted)
	}
	if a.client != "" {
		if err := t.clients.of(a.client).check(1); err != nil {
			return nil, err
		}
	}
	recentFailure := pair.check(pairBurst)
	if recentFailure == nil {
		return t.queue.enter(ctx, a.client, untrusted)
	}
	if t.accounts.of(a.account).check(1) != nil {
		return nil, recentFailure // under attack: one attempt for each client
	}
	return t.queue.enter(ctx, a.client, suspected)
}

// failed records that an attempt's password was wrong.
func (t *throttle) failed(a attempt) {
	t.pairs.of(a).spend()
	if t.trusted.Contains(a) {
		return
	}
	t.accounts.of(a.account).spend()
	if a.client != "" {
		t.clients.of(a.client).spend()
	}
}

// succeeded records that an attempt's password was right.
func (t *throttle) succeeded(a attempt) { t.trusted.Add(a, struct{}{}) }

// admitRefresh counts a refresh or logout of a session. It is RateLimited when there were too
// many of the session or the client.
func (t *throttle) admitRefresh(s events.SessionID, client string) error {
	limits := []limiter{t.sessions.of(s)}
	if client != "" {
		limits = append(limits, t.refreshes.of(client))
	}
	for _, l := range limits {
		if err := l.check(1); err != nil {
			return err
		}
		l.spend()
	}
	return nil
}

// limiters holds a limiter for each key, all with the same limit.
type limiters[K comparable] struct {
	byKey *lru.Cache[K, *rate.Limiter]
	burst int
	rate  rate.Limit
}

func newLimiters[K comparable](burst int, perSecond rate.Limit) limiters[K] {
	byKey, err := lru.New[K, *rate.Limiter](maxRemembered)
	if err != nil {
		panic(err) // only for a size below one
	}
	return limiters[K]{byKey, burst, perSecond}
}

func (l limiters[K]) of(key K) limiter {
	created := rate.NewLimiter(l.rate, l.burst)
	if existing, ok, _ := l.byKey.PeekOrAdd(key, created); ok {
		l.byKey.Get(key) // marks it as used
		return limiter{existing}
	}
	return limiter{created}
}

// limiter holds tokens that are spent and come back.
type limiter struct{ *rate.Limiter }

// check is RateLimited while there are fewer than so many tokens. It spends none.
func (l limiter) check(tokens int) error {
	missing := float64(tokens) - l.Tokens()
	if missing <= 0 {
		return nil
	}
	return errs.TooManyRequests(time.Duration(missing / float64(l.Limit()) * float64(time.Second)))
}

// spend takes one token, also when none is left: attempts that were admitted at the same
// time all count.
func (l limiter) spend() { l.Reserve() }
