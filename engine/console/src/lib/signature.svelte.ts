// Who signs notes, outcomes and acknowledgements from this page? A known user's own name counts instead, whatever is written here.

class Signature {
  author = $state(localStorage.getItem('author') ?? '');

  set(author: string): void {
    this.author = author;
    localStorage.setItem('author', author);
  }

  get orUnknown(): string {
    return this.author.trim() || 'unknown';
  }
}

export const signature = new Signature();
