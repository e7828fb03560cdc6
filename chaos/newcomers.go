package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"lonja/client"
)

// newcomers register, one after another, while the load runs.
type newcomers struct {
	load  *load
	mu    sync.Mutex
	users []*user // whose registrations were acknowledged, and not checked yet
	stop  context.CancelFunc
	done  sync.WaitGroup
}

// welcome begins to register people. Their addresses begin with a name.
func welcome(ctx context.Context, c *load, name string) *newcomers {
	n := &newcomers{load: c}
	ctx, n.stop = context.WithCancel(ctx)
	n.done.Go(func() {
		for i := 0; pause(ctx, 200*time.Millisecond); i++ {
			u := newUser(c.shop, c.history, fmt.Sprintf("%s%d@example.com", name, i), "a good password", 0)
			if u.registerOnce(ctx) != nil {
				continue
			}
			n.mu.Lock()
			n.users = append(n.users, u)
			n.mu.Unlock()
		}
	})
	return n
}

// leave ends the registrations.
func (n *newcomers) leave() {
	n.stop()
	n.done.Wait()
}

// check checks that everybody who was told to be registered is, and that their
// sessions go on. It returns how many there were since the last check.
func (n *newcomers) check(ctx context.Context) (int, error) {
	n.mu.Lock()
	users := n.users
	n.users = nil
	n.mu.Unlock()
	for _, u := range users {
		if err := u.goOn(ctx); err != nil {
			return 0, fmt.Errorf("the session of %s: %w", u.email, err)
		}
	}
	return len(users), nil
}

// goOn renews a session. The error is errLost if the shop does not know it.
func (p *user) goOn(ctx context.Context) error {
	unknown := false
	err := eventually(ctx, restTimeout, func() error {
		_, err := p.Refresh(ctx)
		if unknown = errors.Is(err, client.Unauthenticated); unknown {
			return nil
		}
		return err
	})
	if unknown {
		return errLost
	}
	return err
}
