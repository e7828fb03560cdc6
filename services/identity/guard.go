package identity

import (
	"context"
	"runtime"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"lonja/events"
	"lonja/kit/errs"
)

// How many wrong passwords, and how many refreshes and logouts, somebody has to
// their credit, and how many come back each second. Who is within never notices.
const (
	atOneAccount, atOneAccountAgain   = 10, 0.1 // wrong passwords of one client at one account
	ofOneClient, ofOneClientAgain     = 100, 1  // of one client at all accounts
	ofStrangers, ofStrangersAgain     = 50, 0.5 // of all strangers at one account
	ofOneSession, ofOneSessionAgain   = 20, 0.2 // refreshes and logouts of one session
	movesOfClient, movesOfClientAgain = 200, 50 // refreshes and logouts of one client
)

// remembered is how many of each kind are kept in memory, those used last.
const remembered = 50_000

// guard slows down whoever guesses passwords, and keeps the queue for hashing
// short. It never locks an account: who gave its right password before, from the
// same network address, is a friend, and no flood of others' guesses is held
// against friends. Strangers at an account that is under attack have one guess
// each, so its owner gets in from a new address, too.
//
// It is of one replica, and forgotten when that stops. With several replicas there
// are as many times more guesses.
type guard struct {
	pairs    limits[guess]
	clients  limits[string]
	accounts limits[events.UserID]
	sessions limits[events.SessionID]
	moves    limits[string]
	friends  *lru.Cache[guess, struct{}]
	room     room
}

// guess is a try at an account's password. Client tells apart where it comes from;
// "" is anywhere.
type guess struct {
	account events.UserID
	client  string
}

// newGuard is a guard before a queue. Within is how many can be hashed in a time.
func newGuard(within func(time.Duration) int) *guard {
	friends, err := lru.New[guess, struct{}](remembered)
	if err != nil {
		panic(err) // only a size below one
	}
	return &guard{
		pairs:    newLimits[guess](atOneAccount, atOneAccountAgain),
		clients:  newLimits[string](ofOneClient, ofOneClientAgain),
		accounts: newLimits[events.UserID](ofStrangers, ofStrangersAgain),
		sessions: newLimits[events.SessionID](ofOneSession, ofOneSessionAgain),
		moves:    newLimits[string](movesOfClient, movesOfClientAgain),
		friends:  friends,
		room: room{slots: make(chan struct{}, runtime.NumCPU()), by: map[string]int{},
			size: func() int { return min(most*runtime.NumCPU(), within(wait)) }},
	}
}

// try lets a guess in, once it is its turn to be hashed; leave must be called when
// that is done. Whoever is too fast, or finds no room, is refused as RateLimited at
// once.
func (g *guard) try(ctx context.Context, x guess) (leave func(), err error) {
	pair := g.pairs.of(x)
	if err := pair.has(1); err != nil {
		return nil, err
	}
	if g.friends.Contains(x) {
		return g.room.enter(ctx, x.client, friend)
	}
	if x.client != "" {
		if err := g.clients.of(x.client).has(1); err != nil {
			return nil, err
		}
	}
	wrongOfLate := pair.has(atOneAccount)
	if wrongOfLate == nil {
		return g.room.enter(ctx, x.client, stranger)
	}
	if g.accounts.of(x.account).has(1) != nil {
		return nil, wrongOfLate // under attack, each has one guess
	}
	return g.room.enter(ctx, x.client, suspect)
}

// wrong notes that a guess was wrong.
func (g *guard) wrong(x guess) {
	g.pairs.of(x).spend()
	if g.friends.Contains(x) {
		return
	}
	g.accounts.of(x.account).spend()
	if x.client != "" {
		g.clients.of(x.client).spend()
	}
}

// right notes that a guess was right.
func (g *guard) right(x guess) { g.friends.Add(x, struct{}{}) }

// move lets a session be refreshed or ended, or refuses as RateLimited.
func (g *guard) move(s events.SessionID, client string) error {
	all := []limit{g.sessions.of(s)}
	if client != "" {
		all = append(all, g.moves.of(client))
	}
	for _, l := range all {
		if err := l.has(1); err != nil {
			return err
		}
		l.spend()
	}
	return nil
}

// limits are the limits of many, each of its own.
type limits[K comparable] struct {
	known *lru.Cache[K, *rate.Limiter]
	burst int
	again rate.Limit
}

func newLimits[K comparable](burst int, again rate.Limit) limits[K] {
	known, err := lru.New[K, *rate.Limiter](remembered)
	if err != nil {
		panic(err) // only a size below one
	}
	return limits[K]{known, burst, again}
}

func (l limits[K]) of(k K) limit {
	fresh := rate.NewLimiter(l.again, l.burst)
	if known, ok, _ := l.known.PeekOrAdd(k, fresh); ok {
		l.known.Get(k) // was used just now
		return limit{known}
	}
	return limit{fresh}
}

// limit is a credit that is spent and comes back.
type limit struct{ *rate.Limiter }

// has refuses as RateLimited while the credit is less than so much.
func (l limit) has(credit int) error {
	missing := float64(credit) - l.Tokens()
	if missing <= 0 {
		return nil
	}
	return errs.TooManyRequests(time.Duration(missing / float64(l.Limit()) * float64(time.Second)))
}

// spend takes one from the credit, even if there is none left: what was let in at
// the same time counts as well.
func (l limit) spend() { l.Reserve() }

const (
	// wait is how long anybody may have to wait for a password to be hashed. It is
	// far below the time that a command may take.
	wait = 1500 * time.Millisecond
	// most is how many may wait for each processor, however fast it is.
	most = 32
)

// room is where those wait who want a password hashed: as many as will have their
// turn in time, in the order in which they came. As many as there are processors
// have it at once. One client may take half of the room.
type room struct {
	size  func() int // at present
	slots chan struct{}
	mu    sync.Mutex
	all   int
	by    map[string]int // of those that can be told apart
}

// standing is how many quarters of the room somebody may find taken.
type standing int

const (
	suspect  standing = 2 // guessed wrong of late
	stranger standing = 3
	friend   standing = 4
)

// enter returns once it is somebody's turn. It refuses as RateLimited at once when
// there is no room, and after a while when it was taken for larger than it is.
func (r *room) enter(ctx context.Context, client string, who standing) (leave func(), err error) {
	if !r.take(client, who) {
		return nil, errs.TooManyRequests(time.Second)
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case r.slots <- struct{}{}:
		return func() {
			<-r.slots
			r.count(client, -1)
		}, nil
	case <-late.C:
		err = errs.TooManyRequests(time.Second)
	case <-ctx.Done():
		err = ctx.Err()
	}
	r.count(client, -1)
	return nil, err
}

// take takes a place, if there is one.
func (r *room) take(client string, who standing) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	size := r.size()
	if r.all >= max(1, size*int(who)/4) || r.by[client] >= max(1, size/2) {
		return false
	}
	r.counted(client, 1)
	return true
}

func (r *room) count(client string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counted(client, n)
}

func (r *room) counted(client string, n int) {
	r.all += n
	if client == "" {
		return
	}
	if r.by[client] += n; r.by[client] == 0 {
		delete(r.by, client)
	}
}
