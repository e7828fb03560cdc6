package httpserve

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
)

// A request may say where its body ends by its length or by its coding. One that
// says both is how requests are smuggled past a proxy that believes the other one
// of the two, and RFC 9112 has a server refuse it. net/http serves it, and hides
// that there was a length; so the server looks at what arrives itself.
//
// It follows lengths only. An answer to a request with a coded body is its
// connection's last: then nothing that depends on where such a body ends follows.

// Framing is how a connection's latest request said where its body ends.
type Framing int32

// The three framings.
const (
	ByLength  Framing = iota // by Content-Length, or there is no body
	ByCoding                 // by Transfer-Encoding: end the connection with the answer
	Ambiguous                // by both, or by a length that is none: refuse it, and end the connection
)

type framingKey struct{}

// BodyEnd is Ambiguous or ByCoding as soon as a request like that has begun to
// arrive on the connection, even while one before it is answered, given the
// request's context. It is ByLength when the server is not Serve's.
func BodyEnd(ctx context.Context) Framing {
	if w, ok := ctx.Value(framingKey{}).(*watched); ok {
		return Framing(w.found.Load())
	}
	return ByLength
}

func withFraming(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, framingKey{}, c)
}

// watching is a listener whose connections are watched.
type watching struct{ net.Listener }

func (l watching) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &watched{Conn: c}, nil
}

// watched is a connection that looks at what is read from it. Reading is one
// at a time, as net/http does it.
type watched struct {
	net.Conn
	found atomic.Int32 // a Framing

	body      int64  // bytes that are yet to come of a body
	line      []byte // of a head, as far as it has come; no more than lineSeen of it
	hasLength bool
	length    int64
	hasCoding bool
}

// lineSeen is enough of a line for either field and a length.
const lineSeen = 64

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.see(p[:n])
	return n, err
}

func (w *watched) see(b []byte) {
	for len(b) > 0 && Framing(w.found.Load()) == ByLength {
		if w.body > 0 {
			n := min(w.body, int64(len(b)))
			w.body, b = w.body-n, b[n:]
			continue
		}
		end := bytes.IndexByte(b, '\n')
		part := b[:end+1]
		if end < 0 {
			part = b
		}
		w.line = append(w.line, part[:min(len(part), lineSeen-len(w.line))]...)
		if b = b[len(part):]; end >= 0 {
			w.endLine()
		}
	}
}

// endLine takes notice of a line of a head. The last one is empty.
func (w *watched) endLine() {
	line := strings.TrimRight(string(w.line), "\r\n")
	w.line = w.line[:0]
	name, value, _ := strings.Cut(line, ":")
	switch {
	case line == "":
		w.endHead()
	case strings.EqualFold(name, "Transfer-Encoding"):
		w.hasCoding = true
	case strings.EqualFold(name, "Content-Length"):
		n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		if w.hasLength, w.length = true, n; err != nil || n < 0 {
			w.found.Store(int32(Ambiguous))
		}
	}
}

func (w *watched) endHead() {
	switch {
	case w.hasCoding && w.hasLength:
		w.found.Store(int32(Ambiguous))
	case w.hasCoding:
		w.found.Store(int32(ByCoding))
	}
	w.body, w.length, w.hasLength = w.length, 0, false
}
