package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// api sends requests to the shop and sends them again while the shop, or the
// way to it, is away. A request that records something carries an
// Idempotency-Key, so sending it again is safe: at most once it takes effect,
// and every answer is the first one's.
type api struct {
	base     string // such as http://127.0.0.1:8080
	client   *http.Client
	patience time.Duration // for how long a request is tried
	pause    time.Duration // before the second try; each further one is twice as long
}

// maxPause bounds the pause between two tries.
const maxPause = 5 * time.Second

func newAPI(base string, connections int) *api {
	return &api{
		base: strings.TrimRight(base, "/"),
		client: &http.Client{
			Timeout:   40 * time.Second,
			Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections},
		},
		patience: 2 * time.Minute,
		pause:    100 * time.Millisecond,
	}
}

// request is what is asked of the shop.
type request struct {
	method, path string
	key          string // Idempotency-Key
	prefer       string // Prefer, such as "wait=10"
	bearer       string // access token
	consistency  string // Consistency-Token
	once         bool   // do not try again
	body         any    // sent as JSON unless nil
}

// answer is what the shop said to a request.
type answer struct {
	body        []byte
	consistency string
	replayed    bool   // the request's key had been used before: nothing changed now
	later       string // where the outcome will be told, when the shop has only taken the request
}

// problem is the shop's refusal, as in RFC 9457.
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Field  string `json:"field"`
}

func (p *problem) Error() string {
	text := fmt.Sprintf("%d %s", p.Status, p.Code)
	for _, more := range []string{p.Field, p.Detail} {
		if more != "" {
			text += ": " + more
		}
	}
	return text
}

// refusal is the shop's final no to a request for what it asks, or nil: not
// that the shop is away or broken, nor that it does not know who asks.
func refusal(err error) *problem {
	var p *problem
	if errors.As(err, &p) && p.Status < 500 && p.Status != http.StatusUnauthorized && p.Status != http.StatusTooManyRequests {
		return p
	}
	return nil
}

// refusedWith reports whether err is the shop's refusal with one of the statuses.
func refusedWith(err error, statuses ...int) bool {
	var p *problem
	return errors.As(err, &p) && slices.Contains(statuses, p.Status)
}

// do sends a request until it is answered. The error is a *problem when the
// shop refused.
func (a *api) do(ctx context.Context, r request) (answer, error) {
	giveUp := time.Now().Add(a.patience)
	for pause := a.pause; ; pause = min(2*pause, maxPause) {
		got, retryAfter, err := a.try(ctx, r)
		if retryAfter < 0 || r.once || ctx.Err() != nil || time.Now().After(giveUp) {
			return got, err
		}
		// A random part keeps clients that failed together from coming back together.
		wait := max(retryAfter, pause/2+rand.N(pause/2+1))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return got, ctx.Err()
		}
	}
}

// try sends a request once. retryAfter is negative when the outcome is final.
func (a *api) try(ctx context.Context, r request) (got answer, retryAfter time.Duration, err error) {
	const final = -1
	req, err := a.request(ctx, r)
	if err != nil {
		return answer{}, final, err
	}
	res, err := a.client.Do(req)
	if err != nil {
		return answer{}, 0, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, 0, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	if res.StatusCode < 300 {
		got = answer{body: body, consistency: res.Header.Get("Consistency-Token"), replayed: res.Header.Get("Idempotent-Replayed") == "true"}
		if res.StatusCode == http.StatusAccepted {
			got.later = res.Header.Get("Location")
		}
		return got, final, nil
	}
	p := &problem{Code: "unknown", Title: http.StatusText(res.StatusCode)}
	if err := json.Unmarshal(body, p); err != nil {
		p.Detail = p.Title
	}
	p.Status = res.StatusCode
	err = fmt.Errorf("%s %s: %w", r.method, r.path, p)
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		return answer{}, time.Duration(min(max(seconds, 0), 60)) * time.Second, err
	}
	return answer{}, final, err
}

func (a *api) request(ctx context.Context, r request) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		data, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	url := r.path
	if strings.HasPrefix(url, "/") {
		url = a.base + url
	}
	req, err := http.NewRequestWithContext(ctx, r.method, url, body)
	if err != nil {
		return nil, err
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+r.bearer)
	}
	for name, value := range map[string]string{"Idempotency-Key": r.key, "Prefer": r.prefer, "Consistency-Token": r.consistency} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	return req, nil
}
