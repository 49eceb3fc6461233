// How does the page keep its one WebSocket to the engine, and what has it asked for there?

import type { Row, Status } from './api';
import { decode, type Frame } from './frame';

/** A column of the rows with a key; `key` is none for a table without sensors. */
export interface Shown {
  id: number;
  table: string;
  key: string | null;
  column: string;
}

export interface Heard {
  frame(frame: Frame): void;
  status(status: Status): void;
  rows(id: string, rows: Row[]): void;
  problem(of: string, detail: string): void;
  open(isOpen: boolean): void;
}

/** How long after a break the next attempt is made, in milliseconds. */
const AGAIN_MS = 1000;

export class Link {
  private socket: WebSocket | undefined;
  private shown: { generation: number; bucket_ns: number; channels: Shown[] } | undefined;
  private followed = new Map<string, string>();
  private generation = 0;

  constructor(private readonly heard: Heard) {
    this.connect();
  }

  /** Draws these channels from now on; gives the generation of the frames that hold them. */
  show(bucketNs: number, channels: Shown[]): number {
    this.shown = { generation: ++this.generation, bucket_ns: Math.max(1, Math.round(bucketNs)), channels };
    this.say({ show: this.shown });
    return this.generation;
  }

  /** Lists a live query's rows under an id; none ends it. */
  follow(id: string, sql: string | undefined): void {
    if (sql === undefined) this.followed.delete(id);
    else this.followed.set(id, sql);
    this.sayFollowed();
  }

  private sayFollowed(): void {
    this.say({ follow: [...this.followed].map(([id, sql]) => ({ id, sql })) });
  }

  private say(message: unknown): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  private connect(): void {
    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/v1/console`);
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    socket.onopen = () => {
      this.heard.open(true);
      this.sayFollowed();
      if (this.shown) this.say({ show: this.shown });
    };
    socket.onclose = () => {
      this.heard.open(false);
      setTimeout(() => this.connect(), AGAIN_MS);
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === 'string') return this.told(JSON.parse(data));
      const frame = decode(data);
      if (frame.generation === this.generation) this.heard.frame(frame);
      this.say({ seen: frame.sequence });
    };
  }

  private told(message: { status?: Status; rows?: { id: string; rows: Row[] }; problem?: { of: string; detail: string } }): void {
    if (message.status) this.heard.status(message.status);
    if (message.rows) this.heard.rows(message.rows.id, message.rows.rows);
    if (message.problem) this.heard.problem(message.problem.of, message.problem.detail);
  }
}
