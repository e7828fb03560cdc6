package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// from is a client with an address of its own. All of 127.0.0.0/8 is this machine.
func from(t *testing.T, last int) *http.Client {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(last))}}
	transport := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 200}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// logsIn tries to log in, and returns the status and how long it took.
func (f *testShop) logsIn(ctx context.Context, c *http.Client, email, password string) (status int, took time.Duration, err error) {
	body := fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)
	req, err := http.NewRequestWithContext(ctx, "POST", f.server.URL+"/api/auth/login", strings.NewReader(body))
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	began := time.Now()
	resp, err := c.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
		err = errors.New("429 without Retry-After")
	}
	return resp.StatusCode, time.Since(began), err
}

func TestLogins_BeyondCapacityAreRejectedAtOnce(t *testing.T) {
	shop := openWhole(t)
	client := from(t, 2)
	var mu sync.Mutex
	var all sync.WaitGroup
	statuses, slowest := map[int]int{}, map[int]time.Duration{}
	for range 200 {
		all.Go(func() {
			status, took, err := shop.logsIn(t.Context(), client, "admin@example.com", "a long password")
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			statuses[status]++
			slowest[status] = max(slowest[status], took)
		})
	}
	all.Wait()
	t.Logf("200 logins at once: %v, the slowest %v", statuses, slowest)
	if statuses[200] == 0 || statuses[200]+statuses[429] != 200 {
		t.Errorf("answered with %v", statuses)
	}
}

func TestLogins_FloodDoesNotLockOutTheOwner(t *testing.T) {
	shop := openWhole(t)
	shop.registers("ana")
	ctx, stop := context.WithCancel(t.Context())
	var attackers sync.WaitGroup
	var wrong, turnedAway atomic.Int64
	attacked := make(chan struct{})
	begun := sync.OnceFunc(func() { close(attacked) })
	for last := range 20 {
		client := from(t, 100+last)
		attackers.Go(func() {
			for tick := time.NewTicker(20 * time.Millisecond); ctx.Err() == nil; <-tick.C {
				switch status, _, err := shop.logsIn(ctx, client, "ana@example.com", "wrong horse"); {
				case err != nil && ctx.Err() == nil:
					t.Error(err)
				case status == 401:
					wrong.Add(1)
				case status == 429:
					if turnedAway.Add(1) > 100 {
						begun()
					}
				case err == nil:
					t.Errorf("a wrong password is answered with %d", status)
				}
			}
		})
	}
	<-attacked
	for where, client := range map[string]*http.Client{"a new address": from(t, 3), "the address that she registered from": from(t, 1)} {
		// When she is told to come back, she does.
		for began, tries := time.Now(), 1; ; tries++ {
			status, _, err := shop.logsIn(t.Context(), client, "ana@example.com", "correct horse")
			if err == nil && status == 200 {
				t.Logf("beside the flood the owner logs in from %s in %v, at try %d", where, time.Since(began), tries)
				break
			}
			if err != nil || status != 429 || tries == 20 {
				t.Errorf("from %s, at try %d: %d, %v", where, tries, status, err)
				break
			}
			select {
			case <-time.After(time.Second): // as Retry-After says
			case <-t.Context().Done():
			}
		}
	}
	stop()
	attackers.Wait()
	t.Logf("of the flood %d were wrong, %d turned away", wrong.Load(), turnedAway.Load())
}
