package identity

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"

	"lonja/events"
)

// keyDerivation has the signature of argon2.IDKey.
type keyDerivation func(password, salt []byte, time, memory uint32, threads uint8, length uint32) []byte

// passwords hashes passwords. Each hash takes time and memory on purpose, so requests from
// outside must pass the throttle first.
type passwords struct {
	derive keyDerivation
	took   *atomic.Int64 // the moving average of one hash in nanoseconds, 0 before the first
}

func newPasswords(derive keyDerivation) passwords {
	if derive == nil {
		derive = argon2.IDKey
	}
	return passwords{derive, new(atomic.Int64)}
}

// capacity returns how many passwords can be hashed within a time at the present pace, one
// at least.
func (p passwords) capacity(d time.Duration) int {
	took := max(1, p.took.Load())
	return max(1, int(min(int64(d)/took*int64(runtime.NumCPU()), math.MaxInt32)))
}

// cost is what one hash costs, and so one guess. Every hash names its own cost, so
// currentCost can rise.
type cost struct {
	memory, time uint32 // in KiB and passes
	threads      uint8
}

var currentCost = cost{memory: 19 * 1024, time: 2, threads: 1}

// costOf returns the cost that a hash names, or currentCost when that is missing or out of
// bounds.
func costOf(phc string) cost {
	var c cost
	n, _ := fmt.Sscanf(phc, "$argon2id$v=19$m=%d,t=%d,p=%d$", &c.memory, &c.time, &c.threads)
	if n < 3 || c.memory < 1 || c.memory > 1<<18 || c.time < 1 || c.time > 16 || c.threads < 1 {
		return currentCost
	}
	return c
}

// hash returns a password's hash as a PHC string. It fails only when ctx has ended, so that
// nothing is hashed for a caller that is gone.
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
		p.took.Store(was + (took-was)/8) // of two that end at once, one may be lost
	}
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memory, c.time, c.threads, b64(salt), b64(sum)), nil
}

// hashes returns the hash of a password in its normal form and, when it was sent in another
// form, also the hash of what was sent, as earlier versions recorded it. It returns at least
// one; the hash of what was sent is the last.
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

// saltOf returns the salt that a hash names, or nil when there is none.
func saltOf(phc string) []byte {
	parts := strings.Split(phc, "$")
	if len(parts) != 6 {
		return nil
	}
	salt, _ := base64.RawStdEncoding.DecodeString(parts[4])
	return salt
}

// match reports whether a hash is the password's. An empty hash is nobody's. Then, as when
// there is no such user, it takes as long and uses the given salt. It takes as long for
// either form of the password.
func (p passwords) match(ctx context.Context, phc, password string, salt []byte) (bool, error) {
	if named := saltOf(phc); len(named) > 0 {
		salt = named
	}
	own, err := p.hashes(ctx, costOf(phc), password, salt)
	same := 0
	for _, hash := range own {
		same |= subtle.ConstantTimeCompare([]byte(phc), []byte(hash))
	}
	return same == 1, err
}
