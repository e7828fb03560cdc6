package httpserve

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
)

// A request gives the end of its body by a length or by a transfer coding. A request with
// both can smuggle a second request past a proxy that believes the other one, and RFC 9112
// lets a server reject it. But net/http serves it, and hides the length from the handler.
// So the connection itself scans what arrives.
//
// The scanner follows lengths only. The response to a body with a transfer coding closes
// the connection, so nothing that depends on the end of such a body follows.

// Framing is how a request gives the end of its body.
type Framing int32

// The framings of a request.
const (
	ByLength  Framing = iota // by Content-Length, or it has no body
	ByCoding                 // by Transfer-Encoding: close the connection with the response
	Ambiguous                // by both, or by an invalid length: reject it and close the connection
)

type framingKey struct{}

// FramingOf returns the framing of a request on the connection, given the context of a
// request. Once a request that is ByCoding or Ambiguous has arrived, that is the result for
// the whole connection, even for a request before it that is still being answered. The
// result is ByLength if the server was not started by Serve.
func FramingOf(ctx context.Context) Framing {
	if w, ok := ctx.Value(framingKey{}).(*framingConn); ok {
		return Framing(w.framing.Load())
	}
	return ByLength
}

func withFraming(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, framingKey{}, c)
}

// framingListener wraps accepted connections in framingConn.
type framingListener struct{ net.Listener }

func (l framingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &framingConn{Conn: c}, nil
}

// framingConn scans what is read from a connection. Reads must not be concurrent; those of
// net/http are not.
type framingConn struct {
	net.Conn
	framing atomic.Int32 // a Framing

	bodyLeft  int64  // bytes of the current body that have not arrived
	line      []byte // the current header line so far, at most maxLine bytes
	hasLength bool
	length    int64
	hasCoding bool
}

// maxLine is enough for the name of either field and a length.
const maxLine = 64

func (c *framingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.scan(p[:n])
	return n, err
}

func (c *framingConn) scan(b []byte) {
	for len(b) > 0 && Framing(c.framing.Load()) == ByLength {
		if c.bodyLeft > 0 {
			n := min(c.bodyLeft, int64(len(b)))
			c.bodyLeft, b = c.bodyLeft-n, b[n:]
			continue
		}
		end := bytes.IndexByte(b, '\n')
		part := b[:end+1]
		if end < 0 {
			part = b
		}
		c.line = append(c.line, part[:min(len(part), maxLine-len(c.line))]...)
		if b = b[len(part):]; end >= 0 {
			c.endLine()
		}
	}
}

// endLine evaluates a complete header line. The last one is empty.
func (c *framingConn) endLine() {
	line := strings.TrimRight(string(c.line), "\r\n")
	c.line = c.line[:0]
	name, value, _ := strings.Cut(line, ":")
	switch {
	case line == "":
		c.endHead()
	case strings.EqualFold(name, "Transfer-Encoding"):
		c.hasCoding = true
	case strings.EqualFold(name, "Content-Length"):
		n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		if c.hasLength, c.length = true, n; err != nil || n < 0 {
			c.framing.Store(int32(Ambiguous))
		}
	}
}

func (c *framingConn) endHead() {
	switch {
	case c.hasCoding && c.hasLength:
		c.framing.Store(int32(Ambiguous))
	case c.hasCoding:
		c.framing.Store(int32(ByCoding))
	}
	c.bodyLeft, c.length, c.hasLength = c.length, 0, false
}
