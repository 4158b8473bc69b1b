package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"
)

// domain of the Services in Crossplane's namespace.
const domain = Namespace + "."

// Replicas of a function run behind one name, each at an address of its own on
// loopback. They are what a function with a DeploymentRuntimeConfig of several
// replicas is in a cluster: the package manager makes a headless Service of it,
// whose name resolves to each pod, and Crossplane spreads its calls over them
// (function_runner.go, round_robin).
type Replicas struct {
	processes []*process
	dns       *dns.Server
}

// StartReplicas of a function, instead of the one that runs by that name. Linux
// has all of 127.0.0.0/8 on loopback, which other systems haven't.
func (c *ControlPlane) StartReplicas(ctx context.Context, name, binary string, n int, args ...string) (*Replicas, error) {
	c.StopFunction(name)
	certificates, err := c.serverCertificates(ctx, name)
	if err != nil {
		return nil, err
	}
	free, err := freePorts(ctx, 1)
	if err != nil {
		return nil, err
	}
	r := &Replicas{}
	var addresses []net.IP
	for i := range n {
		ip := net.IPv4(127, 0, 0, byte(i+1))
		replica := fmt.Sprintf("%s-%d", name, i)
		p, err := start(c.Dir, program{name: replica, path: c.tool(binary), args: append([]string{
			fmt.Sprintf("--address=%s:%d", ip, free[0]), "--tls-certs-dir=" + certificates,
		}, args...)})
		if err != nil {
			return nil, errors.Join(err, r.Stop())
		}
		r.processes = append(r.processes, p)
		addresses = append(addresses, ip)
	}
	server, err := r.resolve(ctx, addresses)
	if err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	if err := c.register(ctx, name, fmt.Sprintf("dns://%s/%s.%s:%d", server, name, Namespace, free[0])); err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

// resolve the name to the supplied addresses, as the cluster's DNS does for a
// headless Service. It returns the address at which it answers.
func (r *Replicas) resolve(ctx context.Context, addresses []net.IP) (string, error) {
	conn, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("cannot listen for DNS: %w", err)
	}
	handler := dns.NewServeMux()
	handler.HandleFunc(domain, func(w dns.ResponseWriter, q *dns.Msg) {
		m := (&dns.Msg{}).SetReply(q)
		for _, question := range q.Question {
			if question.Qtype != dns.TypeA {
				continue
			}
			for _, ip := range addresses {
				m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: ip})
			}
		}
		_ = w.WriteMsg(m) // The client asks again.
	})
	ready := make(chan struct{})
	r.dns = &dns.Server{PacketConn: conn, Handler: handler, NotifyStartedFunc: func() { close(ready) }}
	failed := make(chan error, 1)
	go func() { failed <- r.dns.ActivateAndServe() }()
	select {
	case <-ready:
		return conn.LocalAddr().String(), nil
	case err := <-failed:
		return "", fmt.Errorf("cannot serve DNS: %w", err)
	}
}

// Stall one of the replicas: it neither answers nor ends.
func (r *Replicas) Stall(ctx context.Context, i int, d time.Duration) error {
	return r.processes[i].stall(ctx, d)
}

// Stop all replicas. The registration stays.
func (r *Replicas) Stop() error {
	for _, p := range r.processes {
		p.stop()
	}
	if r.dns == nil {
		return nil
	}
	if err := r.dns.Shutdown(); err != nil {
		return fmt.Errorf("cannot stop DNS: %w", err)
	}
	return nil
}
