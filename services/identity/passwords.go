package identity

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"

	"lonja/events"
)

// keyDerivation is Argon2id's signature.
type keyDerivation func(password, salt []byte, time, memory uint32, threads uint8, length uint32) []byte

// passwords hashes passwords. Each takes its time and memory on purpose: whoever
// asks from outside has to pass the guard first.
type passwords struct {
	derive keyDerivation
	took   *atomic.Int64 // nanoseconds that one hash takes of late, 0 before the first
}

func newPasswords(derive keyDerivation) passwords {
	if derive == nil {
		derive = argon2.IDKey
	}
	return passwords{derive, new(atomic.Int64)}
}

// within is how many are hashed in a time, at the pace of late; one at least.
func (p passwords) within(d time.Duration) int {
	took := max(1, p.took.Load())
	return max(1, int(min(int64(d)/took*int64(runtime.NumCPU()), math.MaxInt32)))
}

// cost is how dear one hash is, and with it one guess. Every hash names its
// own, so today's can rise.
type cost struct {
	memory, time uint32
	threads      uint8
}

var today = cost{memory: 19 * 1024, time: 2, threads: 1}

// costOf is the cost that a hash names, or today's when it names none that
// makes sense.
func costOf(phc string) cost {
	var c cost
	n, _ := fmt.Sscanf(phc, "$argon2id$v=19$m=%d,t=%d,p=%d$", &c.memory, &c.time, &c.threads)
	if n < 3 || c.memory < 1 || c.memory > 1<<18 || c.time < 1 || c.time > 16 || c.threads < 1 {
		return today
	}
	return c
}

// hash is a password's hash as a PHC string. It is an error only when ctx has
// ended: nobody waits for it.
func (p passwords) hash(ctx context.Context, c cost, password string, salt []byte) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding.EncodeToString
	began := time.Now()
	sum := p.derive([]byte(password), salt, c.time, c.memory, c.threads, 32)
	if took, was := int64(time.Since(began)), p.took.Load(); was == 0 {
		p.took.Store(took)
	} else {
		p.took.Store(was + (took-was)/8) // one of two that are done at once may be lost
	}
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memory, c.time, c.threads, b64(salt), b64(sum)), nil
}

// hashes are those of a password in its normal form and, when it was sent in
// another, of what was sent, at the end: earlier versions hashed that.
func (p passwords) hashes(ctx context.Context, c cost, sent string, salt []byte) (all []string, err error) {
	for _, password := range slices.Compact([]string{events.NormalText(sent), sent}) {
		hash, err := p.hash(ctx, c, password, salt)
		if err != nil {
			return nil, err
		}
		all = append(all, hash)
	}
	return all, nil
}

// match reports whether a hash is the password's. Without a hash, there being
// no such user, it takes as long to say no; and as long for one form of the
// password as for the other.
func (p passwords) match(ctx context.Context, phc, password string, salt []byte) (bool, error) {
	own, err := p.hashes(ctx, costOf(phc), password, salt)
	same := 0
	for _, hash := range own {
		same |= subtle.ConstantTimeCompare([]byte(phc), []byte(hash))
	}
	return same == 1, err
}
