package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// proxy sits between one process and its NATS server. It can drop, duplicate or
// delay single messages, so a process can be killed at a chosen point without a
// change to the program.
type proxy struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	rule     func(message) verdict
	conns    map[net.Conn]bool
}

// message is a NATS message that passes a proxy.
type message struct {
	toServer       bool
	subject, reply string
	body           []byte // headers and data
}

// verdict is what becomes of a message.
type verdict struct {
	copies int
	after  time.Duration
}

var (
	pass      = verdict{copies: 1}
	drop      = verdict{}
	duplicate = verdict{copies: 2}
)

func delay(d time.Duration) verdict { return verdict{1, d} }

func newProxy(target string) (*proxy, error) {
	l, err := net.Listen("tcp", at(freePort()))
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, conns: map[net.Conn]bool{}}
	go p.serve()
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// setRule sets the rule for messages; nil lets everything pass.
func (p *proxy) setRule(rule func(message) verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = rule
}

func (p *proxy) verdict(m message) verdict {
	p.mu.Lock()
	rule := p.rule
	p.mu.Unlock()
	if rule == nil {
		return pass
	}
	return rule(m)
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = true, true
		p.mu.Unlock()
		go p.pump(client, server, true)
		go p.pump(server, client, false)
	}
}

func (p *proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// pump copies one direction of a connection, message by message.
func (p *proxy) pump(from, to net.Conn, toServer bool) {
	defer func() {
		from.Close()
		to.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, from)
		delete(p.conns, to)
	}()
	in := bufio.NewReaderSize(from, 64<<10)
	var writing sync.Mutex // late messages are written between others
	write := func(b []byte) error {
		writing.Lock()
		defer writing.Unlock()
		_, err := to.Write(b)
		return err
	}
	for {
		raw, m, err := readMessage(in)
		if err != nil {
			return
		}
		v := pass
		if m != nil {
			m.toServer = toServer
			v = p.verdict(*m)
		}
		if v.after > 0 {
			time.AfterFunc(v.after, func() { _ = write(raw) })
			continue
		}
		for range v.copies {
			if write(raw) != nil {
				return
			}
		}
	}
}

// readMessage reads one line of the protocol, and the message if the line announces
// one. The message is nil for other lines.
func readMessage(in *bufio.Reader) (raw []byte, m *message, err error) {
	line, err := in.ReadBytes('\n')
	if err != nil {
		return nil, nil, err
	}
	// MSG subject sid [reply] size           HMSG subject sid [reply] headers size
	// PUB subject [reply] size               HPUB subject [reply] headers size
	fields := bytes.Fields(line)
	if len(fields) < 3 {
		return line, nil, nil
	}
	before, after := 2, 1 // fields around the reply
	switch string(fields[0]) {
	case "MSG":
		before = 3
	case "HMSG":
		before, after = 3, 2
	case "PUB":
	case "HPUB":
		after = 2
	default:
		return line, nil, nil
	}
	size, err := strconv.Atoi(string(fields[len(fields)-1]))
	if err != nil {
		return nil, nil, err
	}
	raw = append(line, make([]byte, size+2)...)
	if _, err := io.ReadFull(in, raw[len(line):]); err != nil {
		return nil, nil, err
	}
	m = &message{subject: string(fields[1]), body: raw[len(line) : len(raw)-2]}
	if len(fields) > before+after {
		m.reply = string(fields[before])
	}
	return raw, m, nil
}
